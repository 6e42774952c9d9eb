# Table IV, CA only.
_base_ = '../../dcpclip_vitb16_coco.py'
model = dict(neck=dict(self_attention=False))
