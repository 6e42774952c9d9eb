# Table IV, neither CA nor SA: only the cost conv of Eq. 6.
_base_ = '../../dcpclip_vitb16_coco_paper.py'
model = dict(neck=dict(cross_attention=False, self_attention=False))
