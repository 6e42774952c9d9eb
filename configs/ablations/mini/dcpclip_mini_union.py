# Beside Table VII, the mini model's own theta: selection without the dead zone.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(selection=dict(form='union'))
