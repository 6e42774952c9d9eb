# Table IV, CA only.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(neck=dict(self_attention=False))
