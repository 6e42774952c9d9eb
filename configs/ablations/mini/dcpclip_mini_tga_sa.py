# Table IV, SA only.
_base_ = '../../dcpclip_mini.py'
model = dict(neck=dict(cross_attention=False))
