# Table VII, theta 0.5.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(selection=dict(theta=0.5))
