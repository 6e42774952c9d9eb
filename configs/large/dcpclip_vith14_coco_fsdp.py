# ViT-H/14 in shards, as dcpclip_vitl14_coco_fsdp.py. Not run.
_base_ = [
    '../_base_/models/dcpclip_vith14_model.py',
    '../_base_/datasets/coco_stuff_171.py',
    '../_base_/schedules/schedule_80k.py',
    '../_base_/default_runtime.py',
]
runner_type = 'AnywhereFlexibleRunner'
strategy = dict(type='CLIPFSDPStrategy', state_dict_cfg='full')
model = dict(backbone=dict(with_cp=True))
