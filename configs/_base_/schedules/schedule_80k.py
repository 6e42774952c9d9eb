# Total batch 4 (one image on each of four GPUs), as in the paper: 2e-4, and 2e-6 for
# the trained part of CLIP. Cosine without warm-up as in CAT-Seg; the paper states
# no schedule.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, weight_decay=1e-4),
    # Where the loss leaps: cut gradients at a norm. The paper names none.
    # clip_grad=dict(max_norm=1.0, norm_type=2),
    # With one GPU and one image at a time: a step every fourth iteration keeps the
    # total batch. max_iters and T_max count iterations: four times as many.
    # accumulative_counts=4,
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={
            'backbone': dict(lr_mult=0.01),
            'text_encoder': dict(lr_mult=0.01),
            'relative_position_bias_table': dict(decay_mult=0.0),
            'guidance.prompt': dict(decay_mult=0.0),
        }))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=80000, eta_min=0.0, by_epoch=False)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=80000, val_interval=8000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
