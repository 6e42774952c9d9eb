# ViT-H/14 with DeepSpeed's ZeRO 2: gradients and AdamW's state in shards. ZeRO 3 would
# shard the last block, too, which the read-outs take apart. Not run.
_base_ = './dcpclip_vith14_coco_fsdp.py'
strategy = dict(
    _delete_=True, type='DeepSpeedStrategy', zero_optimization=dict(stage=2),
    # In place of the optim_wrapper's accumulative_counts and clip_grad:
    gradient_accumulation_steps=1)  # , gradient_clipping=1.0)
optim_wrapper = dict(type='DeepSpeedOptimWrapper')
