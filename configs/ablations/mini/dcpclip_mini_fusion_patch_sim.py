# Table VI (c), F_patch + F_sim.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(decode_head=dict(fuse_attention=False))
