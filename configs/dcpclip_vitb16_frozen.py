# Without training: OpenAI's CLIP ViT-B/16.
_base_ = [
    './_base_/models/dcpclip_frozen_model.py',
    './_base_/datasets/coco_stuff_171.py',
    './_base_/default_runtime.py',
]
# Short side 336, long side at most 2048. The label is scored at its own size.
resize = dict(type='Resize', scale=(2048, 336), keep_ratio=True)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    resize,
    dict(type='LoadWideAnnotations'),
    dict(type='PackSegInputs')
]
# Cityscapes, whose things are small, at a short side of 560.
benchmark_pipelines = dict(cityscapes_19=[
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    dict(type='Resize', scale=(2048, 560), keep_ratio=True),
    dict(type='LoadWideAnnotations'),
    dict(type='PackSegInputs')
])
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    dict(type='TestTimeAug', transforms=[
        [resize],
        [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
        [dict(type='LoadWideAnnotations')],
        [dict(type='PackSegInputs')]])
]
train_dataloader = None  # there is nothing to train
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
