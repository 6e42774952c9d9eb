# Table III, a row of ours: patch features as CAT-Seg reads them.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(backbone=dict(read_out='catseg'))
