# DCP-CLIP on scenes of the small drawn world: trained on them, tested on both.
_base_ = './dcpclip_mini.py'
train_dataloader = dict(dataset=dict(scenes=True))
val_dataloader = dict(dataset=dict(scenes=True))
test_dataloader = dict(dataset=dict(scenes=True))
benchmarks = {{_base_.other_benchmarks}}
