# Table VI (c), F_patch.
_base_ = './dcpclip_vitb16_fusion_patch_sim.py'
model = dict(decode_head=dict(fuse_similarity=False))
