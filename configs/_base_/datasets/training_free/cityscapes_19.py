# As training-free work tests: short side 560, aspect ratio kept, no seen classes.
_base_ = '../cityscapes_19.py'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 560), keep_ratio=True),
    dict(type='LoadWideAnnotations'),
    dict(type='PackSegInputs')
]
test_dataloader = dict(dataset=dict(
    pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(seen=None)
val_evaluator = test_evaluator
