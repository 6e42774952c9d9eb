# Table VI (a), none: no window attention in the decoder.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(decode_head=dict(spatial_enhance=False))
