# Table 8: the cross-entropy, and weights averaged over about the last 50 iterations.
_base_ = './dcpclip_mini_ce.py'
custom_hooks = [dict(type='EMAHook', momentum=0.02, begin_iter=100)]
