# Table VII, theta 0.8.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(selection=dict(theta=0.8))
