"""The plain backbone with CLIP's weights under mmseg's own heads, in mmseg's Runner."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import mmseg_dcpclip  # noqa: F401  makes the backbone known

WIDTH, CLASSES = 128, 20
EVERY = dict(in_channels=[WIDTH] * 4, in_index=[0, 1, 2, 3], channels=8)
LAST = dict(in_channels=WIDTH, in_index=3, channels=8)
NORM = dict(type='BN')
HEADS = dict(
    FCNHead=dict(LAST, num_convs=1),
    PSPHead=dict(LAST, pool_scales=(1, 2, 3)),
    UPerHead=dict(EVERY, pool_scales=(1, 2, 3)),
    SegformerHead=EVERY,
    SETRUPHead=dict(LAST, num_convs=2, kernel_size=3),
    # class queries and their masks, as in MaskFormer, without mmdet
    SegmenterMaskTransformerHead=dict(
        in_channels=WIDTH, in_index=3, channels=WIDTH, num_layers=1, num_heads=2,
        embed_dims=WIDTH, dropout_ratio=0.0))
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
            dict(type='PackSegInputs')]


def loader(sampler):
    return dict(
        batch_size=2, num_workers=0, sampler=sampler,
        dataset=dict(type='MiniWorldDataset', categories='mini-20', side=32,
                     num_pictures=4, pipeline=PIPELINE))


def runner_config(head, folder, **changes):
    norm = {} if head.startswith('Segmenter') else dict(norm_cfg=NORM)
    return Config(dict(
        default_scope='mmseg', work_dir=str(folder), log_level='ERROR',
        experiment_name=f'{folder.name}_{head}', randomness=dict(seed=0),
        model=dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32),
                                   mean=[120.] * 3, std=[60.] * 3, bgr_to_rgb=True),
            backbone=dict(type='CLIPVisionBackbone', model_name='mini-ViT-8',
                          pretrained='miniworld', plain=True, trainable='all',
                          out_indices=(0, 1, 2, 4)),
            decode_head=dict(
                type=head, num_classes=CLASSES, **norm, **HEADS[head],
                loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
            test_cfg=dict(mode='whole')),
        train_dataloader=loader(dict(type='InfiniteSampler')),
        test_dataloader=loader(dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
        test_cfg=dict(type='TestLoop'), test_evaluator=dict(type='IoUMetric'),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)), **changes))


@pytest.mark.parametrize('head', HEADS)
def test_trains_and_tests_with_pretrained_weights(head, tmp_path):
    config = runner_config(head, tmp_path)
    runner = Runner.from_cfg(config)
    runner.train()
    # CLIP's weights were there when training began, and moved
    from mmseg_dcpclip.models.clip import load_clip_weights
    stored = load_clip_weights('mini-ViT-8', 'miniworld').visual
    first = runner.model.backbone.visual.conv1.weight
    assert 0 < (first - stored['conv1.weight']).abs().max() < 0.01
    scores = runner.test()
    assert 0 <= scores['aAcc'] <= 100
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())


def test_trains_compiled(tmp_path):
    """The Runner's ``compile`` ends at the same weights; no kernels are built here."""
    weights = []
    for name, compiled in (('eager', False), ('compiled', dict(backend='eager'))):
        folder = tmp_path / name
        folder.mkdir()
        config = runner_config('SETRUPHead', folder, compile=compiled)
        config.model.decode_head.dropout_ratio = 0
        runner = Runner.from_cfg(config)
        runner.train()
        weights.append(runner.model.state_dict())
    torch._dynamo.reset()
    for name, one in weights[0].items():
        torch.testing.assert_close(one, weights[1][name], atol=1e-5, rtol=1e-3)
