# DCP-CLIP ViT-B/16 on a dataset of your own: a folder of images, one of label PNGs and
# a text file of class names, see _base_/datasets/own_dataset.py. What that file sets at
# its head may be set here, too, such as data_root = 'data/other', or by --cfg-options.
_base_ = [
    './_base_/models/dcpclip_vitb16_model.py',
    './_base_/datasets/own_dataset.py',
    './_base_/schedules/schedule_80k.py',
    './_base_/default_runtime.py',
]
# All classes are trained on, so tag validation would have nothing to do.
model = dict(tag_validation=None)
