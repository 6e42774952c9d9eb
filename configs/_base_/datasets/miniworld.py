# The small drawn world: nothing on disk. The loaders also serve picture files. Crops of
# 64 of the 96 pixels are trained on, whole pictures tested.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    dict(type='LoadWideAnnotations'),
    dict(type='RandomCrop', crop_size=(64, 64), ignore_index=65535),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')
]
# The drawn pictures have 96 pixels and stay as they are; a photo is reduced, because
# attention grows with the square of the pixels. The label is scored at its own size.
max_side = 384
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    dict(type='LimitSize', max_side=max_side),
    dict(type='LoadWideAnnotations'),
    dict(type='PackSegInputs')
]
# What `--tta` shows the model: the picture and its mirror image.
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PictureAsSeen'),
    dict(type='LimitSize', max_side=max_side),
    dict(type='LoadWideAnnotations'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
        [dict(type='PackSegInputs')]])
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='MiniWorldDataset', categories='mini-seen', num_pictures=100_000,
        first_seed=10_000_000, pipeline=train_pipeline, ignore_index=65535))
test_evaluator = dict(type='OVIoUMetric', ignore_index=65535, seen='mini-seen')
val_evaluator = test_evaluator

# Five with categories at random, `--benchmarks all`, and on request five of scenes, in
# which what is there belongs together.
benchmarks, other_benchmarks = (
    {f'{name}-{words}': dict(
        dataloader=dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='MiniWorldDataset', categories=f'mini-{words}',
                num_pictures=pictures, pipeline=test_pipeline, ignore_index=65535,
                **scenes)),
        evaluator=test_evaluator)
     for words, pictures in ((847, 400), (459, 300), (150, 200), (59, 200), (20, 200))}
    for name, scenes in (('mini', {}), ('scene', dict(scenes=True))))
test_dataloader = benchmarks['mini-847']['dataloader']
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MiniWorldDataset', categories='mini-150', num_pictures=60,
        first_seed=5_000_000, pipeline=test_pipeline, ignore_index=65535))

# What stands above under these names may be set anew in a config over this one or by
# --cfg-options: it then changes wherever it is used here.
variables = dict(
    max_side=max_side, train_pipeline=train_pipeline, test_pipeline=test_pipeline)
