# Table 8: the cross-entropy, and a word's share of a place as an input of Eq. 6's conv.
_base_ = './dcpclip_vitb16_ce.py'
model = dict(neck=dict(competition=30.0))
