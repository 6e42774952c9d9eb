# Table 8: the cross-entropy, and weights averaged over about the last 1000 iterations.
_base_ = './dcpclip_vitb16_ce.py'
custom_hooks = [dict(type='EMAHook', momentum=0.001, begin_iter=10000)]
