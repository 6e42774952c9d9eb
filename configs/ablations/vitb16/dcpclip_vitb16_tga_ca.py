# Table IV, CA only.
_base_ = '../../dcpclip_vitb16_coco_paper.py'
model = dict(neck=dict(self_attention=False))
