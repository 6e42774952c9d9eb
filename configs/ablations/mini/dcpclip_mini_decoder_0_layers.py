# Table VI (b), 0 layers: the 3 x 3 conv to one logit is all of the decoder.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(decode_head=dict(num_layers=0))
