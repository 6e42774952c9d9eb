# Table 8: the cross-entropy in place of the binary one, and the share of a place.
_base_ = './dcpclip_vitb16_ce_alone.py'
model = dict(neck=dict(competition=30.0))
