"""Learning rates by depth, through mmpretrain's constructor and our own."""

import re

import pytest
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from toys import MINI, toy_model

BLOCKS, DECAY = 5, 0.5
STEM = ('conv1', 'class_embedding', 'positional_embedding', 'ln_pre')


def expected_rate(name):
    """DECAY for each step down from the head, found without the backbone's help."""
    if not name.startswith('backbone.'):
        return 1.0
    block = re.search(r'resblocks\.(\d)\.', name)
    depth = (int(block[1]) + 1 if block else
             0 if any(f'visual.{part}' in name for part in STEM) else BLOCKS + 1)
    return DECAY**(BLOCKS + 1 - depth)


def rates_of(model, **optim):
    wrapper = build_optim_wrapper(model, dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05),
        **optim))
    names = {p: name for name, p in model.named_parameters()}
    return {names[p]: (group['lr'], group['weight_decay'])
            for group in wrapper.optimizer.param_groups for p in group['params']}


def trained_names(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def segmentor(kind):
    backbone = dict(type='CLIPVisionBackbone', trainable='all', out_indices=(1, 3),
                    **MINI)
    if kind == 'DCPCLIP':
        return toy_model(backbone=backbone)
    return MODELS.build(dict(
        type='EncoderDecoder', backbone=dict(backbone, plain=True),
        decode_head=dict(type='FCNHead', in_channels=128, in_index=-1, channels=8,
                         num_classes=5, num_convs=1)))


def test_mmpretrains_constructor_asks_the_model():
    model = segmentor('DCPCLIP')
    rates = rates_of(
        model, constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=DECAY))
    assert {name: rate for name, (rate, _) in rates.items()} == {
        name: expected_rate(name) for name in trained_names(model)}


@pytest.mark.parametrize('kind', ['DCPCLIP', 'EncoderDecoder'])
def test_our_constructor_keeps_the_other_rules(kind):
    model = segmentor(kind)
    rates = rates_of(model, constructor='LayerDecayConstructor', paramwise_cfg=dict(
        layer_decay_rate=DECAY, norm_decay_mult=0.0,
        custom_keys={'resblocks.2': dict(lr_mult=0.1, decay_mult=2.0)}))
    assert set(rates) == trained_names(model)
    for name, (rate, decay) in rates.items():
        custom = 'resblocks.2' in name
        assert rate == pytest.approx(expected_rate(name) * (0.1 if custom else 1)), name
        if custom:
            assert decay == 0.1
        elif 'ln_' in name:
            assert decay == 0
        elif name.endswith('q_proj.weight'):
            assert decay == 0.05
    assert {rate for rate, _ in rates.values()} >= {DECAY**i for i in (0, 2, 4, 5, 6)}


def test_who_does_not_know_depths_is_named():
    optim = dict(constructor='LayerDecayConstructor',
                 paramwise_cfg=dict(layer_decay_rate=DECAY))
    unet = MODELS.build(dict(
        type='EncoderDecoder', backbone=dict(type='ResNetV1c', depth=18),
        decode_head=dict(type='FCNHead', in_channels=512, channels=8, num_classes=5)))
    with pytest.raises(ValueError, match='ResNetV1c has get_layer_depth'):
        rates_of(unet, **optim)
    with pytest.raises(ValueError, match='layer_decay_rate=0.75'):
        rates_of(toy_model(), **{**optim, 'paramwise_cfg': dict(norm_decay_mult=0.0)})
