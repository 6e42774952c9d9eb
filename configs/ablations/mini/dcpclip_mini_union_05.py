# Beside Table VII, theta 0.5: selection without the dead zone.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(selection=dict(theta=0.5, form='union'))
