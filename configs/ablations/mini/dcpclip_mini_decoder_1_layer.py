# Table VI (b), 1 layer.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(decode_head=dict(num_layers=1))
