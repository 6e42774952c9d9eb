# ViT-L/14@336 in shards: each process keeps its part of weights, gradients and AdamW's
# state. The blocks of the image encoder are gathered one by one, and computed again in
# the backward pass. Checkpoints hold the whole model, in one file. Not run.
#     bash tools/dist_train.sh configs/large/dcpclip_vitl14_coco_fsdp.py 4
_base_ = '../dcpclip_vitl14_coco.py'
runner_type = 'AnywhereFlexibleRunner'
strategy = dict(type='CLIPFSDPStrategy', state_dict_cfg='full')
model = dict(backbone=dict(with_cp=True))
