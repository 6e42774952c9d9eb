# Table VI (c), none.
_base_ = './dcpclip_mini_fusion_patch.py'
model = dict(decode_head=dict(fuse_shallow=False))
