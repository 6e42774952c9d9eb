# DCP-CLIP ViT-L/14@336, trained on COCO-Stuff.
_base_ = [
    './_base_/models/dcpclip_vitl14_model.py',
    './_base_/datasets/coco_stuff_171.py',
    './_base_/schedules/schedule_80k.py',
    './_base_/default_runtime.py',
]
