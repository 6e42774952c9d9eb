# COCO-Stuff 164k with 171 classes (118287 train and 5000 val images), labels
# written by tools/dataset_converters/coco_stuff.py.
dataset_type = 'COCOStuff171Dataset'
data_root = 'data/coco_stuff164k'
crop_size = (384, 384)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    dict(type='LoadWideAnnotations'),
    # Short side 384, long side at most 1333.
    dict(type='Resize', scale=(1333, 384), keep_ratio=True),
    # A smaller picture stays smaller; nothing is padded. RandomCrop has
    # an ignore_index of its own (255), used only with cat_max_ratio < 1.
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='PhotoMetricDistortion',
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18),
    dict(type='PackSegInputs')
]
# Aspect ratio is not kept; the model itself cuts windows (see its test_cfg).
# The label is loaded after the resize: it is scored at its own size.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    dict(type='Resize', scale=(640, 640), keep_ratio=False),
    dict(type='LoadWideAnnotations'),
    dict(type='PackSegInputs')
]
# What `--tta` shows the model: the picture and its mirror image. More sizes: further
# Resize entries in the first list.
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='Resize', scale=(640, 640), keep_ratio=False)],
        [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
        [dict(type='LoadWideAnnotations')],
        [dict(type='PackSegInputs')]])
]
train_dataloader = dict(
    # One image on each of four GPUs.
    batch_size=1,
    num_workers=4,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(
            img_path='images/train2017', seg_map_path='annotations/train2017'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(
            img_path='images/val2017', seg_map_path='annotations/val2017'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='OVIoUMetric', ignore_index=255, seen='coco_stuff_171')
test_evaluator = val_evaluator

# What stands above under these names may be set anew in a config over this one or by
# --cfg-options: it then changes wherever it is used here.
variables = dict(
    dataset_type=dataset_type, data_root=data_root, crop_size=crop_size,
    train_pipeline=train_pipeline, test_pipeline=test_pipeline)
