# Table VII, theta 0: all categories.
_base_ = '../../dcpclip_mini.py'
model = dict(selection=dict(theta=0))
