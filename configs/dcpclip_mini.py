# DCP-CLIP on the small drawn world: the run of `make demo`.
_base_ = [
    './_base_/models/dcpclip_mini_model.py',
    './_base_/datasets/miniworld.py',
    './_base_/schedules/schedule_mini.py',
    './_base_/default_runtime.py',
]
# Masks follow the picture, which the paper's do not.
model = dict(refinement=dict(type='PAMR', num_steps=2, dilations=(2, 4, 6)))
randomness = dict(seed=0)
