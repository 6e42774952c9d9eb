# Table III, DCS: the baseline on selected categories only.
_base_ = '../../dcpclip_vitb16_coco_paper.py'
model = dict(
    tag_validation=None, neck=None, decode_head=dict(_delete_=True, type='CosineHead'))
# q of the last block reaches F_cls alone, which the cosine of patches does not ask for.
find_unused_parameters = True
