# Table III, a row of ours: patch features of CLIP's plain last block.
_base_ = '../../dcpclip_vitb16_coco_paper.py'
model = dict(backbone=dict(read_out='plain'))
