# Table 8: the cross-entropy, and maps that follow the picture (PAMR).
_base_ = './dcpclip_mini_ce.py'
model = dict(refinement=dict(type='PAMR', num_steps=2, dilations=(2, 4, 6)))
