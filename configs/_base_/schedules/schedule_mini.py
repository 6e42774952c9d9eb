# A few minutes on two CPU cores.
_base_ = './schedule_80k.py'
max_iters = 600
warmup = 60
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, begin=0, end=warmup, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max=max_iters, eta_min=0.0, by_epoch=False)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
