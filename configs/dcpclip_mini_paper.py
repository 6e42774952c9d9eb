# DCP-CLIP on the small drawn world with the paper's loss alone, and masks as decoded.
_base_ = [
    './_base_/models/dcpclip_mini_model.py',
    './_base_/datasets/miniworld.py',
    './_base_/schedules/schedule_mini.py',
    './_base_/default_runtime.py',
]
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='SelectedBCELoss')))
randomness = dict(seed=0)
