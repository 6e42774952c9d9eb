# Table V, (II): textual guidance without F_cls . E_SC.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(neck=dict(guidance_cls=None))
