# Beside Table VII, theta 0.8: selection without the dead zone.
_base_ = '../../dcpclip_vitb16_coco_paper.py'
model = dict(selection=dict(theta=0.8, form='union'))
