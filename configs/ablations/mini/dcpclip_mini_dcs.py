# Table III, DCS: the baseline on selected categories only.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(
    tag_validation=None, neck=None, decode_head=dict(_delete_=True, type='CosineHead'))
