# ViT-H/14 in shards: bash tools/dist_train.sh THIS 4. Not run.
_base_ = [
    '../_base_/models/dcpclip_vith14_model.py',
    '../_base_/datasets/coco_stuff_171.py',
    '../_base_/schedules/schedule_80k.py',
    '../_base_/default_runtime.py',
    '../_base_/fsdp.py',
]
