# Pascal VOC 2012 with background (1449 val images), labels as downloaded.
dataset_type = 'PascalVOC21Dataset'
data_root = 'data/VOCdevkit/VOC2012'
# Aspect ratio is not kept; the model itself cuts windows (see its test_cfg).
# The label is loaded after the resize: it is scored at its own size.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    dict(type='Resize', scale=(640, 640), keep_ratio=False),
    dict(type='LoadWideAnnotations'),
    dict(type='PackSegInputs')
]
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(
            img_path='JPEGImages', seg_map_path='SegmentationClass'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='OVIoUMetric', ignore_index=255, seen='coco_stuff_171')
test_evaluator = val_evaluator

# What stands above under these names may be set anew in a config over this one or by
# --cfg-options: it then changes wherever it is used here.
variables = dict(
    dataset_type=dataset_type, data_root=data_root, test_pipeline=test_pipeline)
