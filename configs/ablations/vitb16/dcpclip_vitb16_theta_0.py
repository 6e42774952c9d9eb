# Table VII, theta 0: all categories.
_base_ = '../../dcpclip_vitb16_coco_paper.py'
model = dict(selection=dict(theta=0))
