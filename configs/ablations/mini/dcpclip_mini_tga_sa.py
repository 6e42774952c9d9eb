# Table IV, SA only.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(neck=dict(cross_attention=False))
