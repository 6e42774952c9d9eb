# Table 8: the cross-entropy, and maps that follow the picture (PAMR).
_base_ = './dcpclip_vitb16_ce.py'
model = dict(refinement=dict(type='PAMR'))
