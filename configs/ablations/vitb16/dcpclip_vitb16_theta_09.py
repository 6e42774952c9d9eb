# Table VII, theta 0.9.
_base_ = '../../dcpclip_vitb16_coco_paper.py'
model = dict(selection=dict(theta=0.9))
