# A dataset of one's own, without writing code:
#
#     data/own/classes.txt            one class per line, synonyms separated by |
#     data/own/images/train/a.jpg     pictures, also .JPG, .png, .tif and so on
#     data/own/images/val/b.png
#     data/own/labels/train/a.png     grey or palette PNG of the picture's size: the
#     data/own/labels/val/b.png       line of the class counted from 0, or 255
#
# `dcpclip data check data/own` reads all of it and says what is wrong and what to do;
# `dcpclip data convert color_masks` makes labels from masks in colours.
dataset_type = 'TextVocabDataset'
data_root = 'data/own'
# Relative to data_root if it is there; a list of names works as well.
vocabulary = 'classes.txt'
# What names of pictures end with; None: any common kind.
img_suffix = None
# With more than 255 classes: 65535, and 16-bit PNGs.
ignore_index = 255
# Whether the labels count the classes from 1, and 0 is unlabelled.
reduce_zero_label = False
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
        vocabulary=vocabulary,
        img_suffix=img_suffix,
        data_prefix=dict(
            img_path='images/train', seg_map_path='labels/train'),
        ignore_index=ignore_index,
        reduce_zero_label=reduce_zero_label,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        vocabulary=vocabulary,
        img_suffix=img_suffix,
        data_prefix=dict(
            img_path='images/val', seg_map_path='labels/val'),
        ignore_index=ignore_index,
        reduce_zero_label=reduce_zero_label,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

# seen: the vocabulary trained on. Use the class file's path after training on
# this dataset, 'coco_stuff_171' for a model trained on COCO-Stuff.
val_evaluator = dict(
    type='OVIoUMetric', ignore_index=ignore_index, seen='coco_stuff_171')
test_evaluator = val_evaluator

# What stands above under these names may be set anew in a config over this one or by
# --cfg-options: it then changes wherever it is used here.
variables = dict(
    dataset_type=dataset_type, data_root=data_root, vocabulary=vocabulary,
    img_suffix=img_suffix, ignore_index=ignore_index,
    reduce_zero_label=reduce_zero_label, crop_size=crop_size,
    train_pipeline=train_pipeline, test_pipeline=test_pipeline)
