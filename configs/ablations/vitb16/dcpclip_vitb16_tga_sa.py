# Table IV, SA only.
_base_ = '../../dcpclip_vitb16_coco_paper.py'
model = dict(neck=dict(cross_attention=False))
