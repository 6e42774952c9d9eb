# As training-free work tests: short side 336, aspect ratio kept, no seen classes.
_base_ = '../pascal_context_60.py'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 336), keep_ratio=True),
    dict(type='LoadWideAnnotations'),
    dict(type='PackSegInputs')
]
test_dataloader = dict(dataset=dict(
    names='mmseg',
    pipeline=test_pipeline))
val_dataloader = test_dataloader
test_evaluator = dict(seen=None)
val_evaluator = test_evaluator
