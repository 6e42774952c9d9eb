# Table III, DCS: the baseline on selected categories only.
_base_ = '../../dcpclip_vitb16_coco.py'
model = dict(
    tag_validation=None, neck=None, decode_head=dict(_delete_=True, type='CosineHead'))
