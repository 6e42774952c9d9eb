# Table VII, theta 0: all categories.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(selection=dict(theta=0))
