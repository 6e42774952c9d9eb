# In shards: each process keeps its part of weights, gradients and AdamW's state. The
# blocks of the image encoder are gathered one by one, and computed again in the backward
# pass. Checkpoints hold the whole model, in one file.
runner_type = 'AnywhereFlexibleRunner'
strategy = dict(type='CLIPFSDPStrategy', state_dict_cfg='full')
model = dict(backbone=dict(with_cp=True))
