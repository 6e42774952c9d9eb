# Table V, (II): textual guidance without F_cls . E_SC.
_base_ = '../../dcpclip_vitb16_coco_paper.py'
model = dict(neck=dict(guidance_cls=None))
