"""Every config trains and tests a step; each switch changes what it names."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from toys import MINI, WORDS, toy_samples

from mmseg_dcpclip.reproduction import tables

FOLDER = Path(__file__).resolve().parents[1] / 'configs'
CONFIGS = sorted(path for path in FOLDER.rglob('*.py') if '_base_' not in path.parts)
NAMES = [str(path.relative_to(FOLDER)) for path in CONFIGS]
MINI_CONFIG = FOLDER / 'dcpclip_mini_paper.py'


def shrink(model):
    """A config's model on a random mini CLIP, its switches as they were."""
    sizes = Config.fromfile(MINI_CONFIG).model
    model.backbone.update(out_indices=(1, 3), input_size=None, **MINI)
    model.text_encoder.update(templates='miniworld', **MINI)
    for name in ('neck', 'decode_head'):
        if model.get(name) and model[name].type == sizes[name].type:
            model[name].update({key: value for key, value in sizes[name].items()
                                if key != 'loss_decode'})
    model.vocabulary = WORDS
    if model.test_cfg.mode == 'slide':
        model.test_cfg.update(crop_size=(16, 16), stride=(16, 16))
    return model


def build(path):
    torch.manual_seed(0)
    model = MODELS.build(shrink(Config.fromfile(path).model))
    model.init_weights()
    return model


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_one_step_of_each(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = build(path)
    data = toy_samples([(32, 32)])
    learned = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if learned:
        config = Config.fromfile(path)
        before = {n: p.detach().clone() for n, p in learned.items()}
        if config.optim_wrapper.type == 'DeepSpeedOptimWrapper':  # of its engine
            config.optim_wrapper.type = 'OptimWrapper'
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
        model.train()
        losses = model(**model.data_preprocessor(data, True), mode='loss')
        model.parse_losses(losses)[0].backward()
        # DDP waits for every gradient unless told to look for missing ones.
        unused = [n for n, p in learned.items() if p.grad is None]
        assert bool(unused) == config.get('find_unused_parameters', False), unused
        wrapper.step()
        assert all(torch.isfinite(p).all() for p in learned.values())
        assert any(not torch.equal(before[n], p) for n, p in learned.items())
    sample = model.eval().test_step(data)[0]
    assert sample.pred_sem_seg.data.shape == (1, 32, 32)
    assert set(sample.pred_sem_seg.data.unique().tolist()) <= set(range(len(WORDS)))


def parts(model):
    """Modules in front of the parameters, layers of the decoder told apart."""
    names = set()
    for name, _ in model.named_parameters():
        if name.startswith(('neck.', 'decode_head.')):
            depth = 4 if name.startswith('decode_head.layers.') else 2
            names.add('.'.join(name.split('.')[:depth]))
    if getattr(model.neck, 'guidance', None) is not None:
        names |= {f'neck.guidance.{n.split(".")[0]}'
                  for n, _ in model.neck.guidance.named_parameters()}
    return names


def of_layers(*names):
    return {f'decode_head.layers.{i}.{name}' for i in (0, 1) for name in names}


CA = {'neck.guidance', 'neck.cross_layers', 'neck.guidance.prompt',
      'neck.guidance.projection'}
LAYER = ('upsample', 'similarity_conv', 'fuse', 'skip_conv', 'fuse_skip', 'refine')
SPATIAL = ('shallow_conv', 'attention_conv', 'blocks')
# parts that vanish, parts that appear
SWITCHES = dict(
    tga_none=(CA | {'neck.image_projection', 'neck.self_layer'}, set()),
    tga_ca=({'neck.self_layer'}, {'neck.fusion'}),
    tga_sa=(CA, set()),
    guidance_no_cls=(set(), set()),
    guidance_no_cls_no_prompt=({'neck.guidance.prompt'}, set()),
    decoder_no_spatial=(of_layers(*SPATIAL), set()),
    decoder_0_layers=(of_layers(*LAYER, *SPATIAL), set()),
    decoder_1_layer=({n for n in of_layers(*LAYER, *SPATIAL) if '.1.' in n}, set()),
    fusion_patch_sim=(of_layers('attention_conv'), set()),
    fusion_patch=(of_layers('attention_conv', 'similarity_conv'), set()),
    fusion_none=(of_layers('attention_conv', 'similarity_conv', 'shallow_conv',
                           'skip_conv', 'fuse_skip'), set()))


@pytest.fixture(scope='module')
def full():
    return build(MINI_CONFIG)


def logits(model):
    with torch.no_grad():
        torch.manual_seed(3)
        return model.eval().encode_decode(torch.randn(1, 3, 32, 32))[0]


@pytest.mark.parametrize('name', SWITCHES)
def test_a_switch_changes_what_it_names(name, full):
    model = build(tables.table_config(name, 'mini', FOLDER))
    gone, new = SWITCHES[name]
    assert parts(full) - parts(model) == gone
    assert parts(model) - parts(full) == new
    # the rest is as it was
    own, weights = model.state_dict(), full.state_dict()
    common = {k for k, v in own.items() if k in weights and weights[k].shape == v.shape}
    model.load_state_dict({k: weights[k] for k in common}, strict=False)
    changed = logits(model)
    assert changed.shape != logits(full).shape or not torch.allclose(
        changed, logits(full))
    part = 'neck' if name.startswith(('tga', 'guidance')) else 'decode_head'
    assert {k.partition('.')[0] for k in set(own) - common} <= {part}


def test_cosine_rows_and_selection_rows():
    folder = FOLDER / 'ablations' / 'mini'
    model = build(folder / 'dcpclip_mini_baseline.py')
    assert parts(model) == {'decode_head.scale', 'decode_head.bias'}
    assert model.selection.theta == 0
    whole = Config.fromfile(MINI_CONFIG).model
    dcs = Config.fromfile(folder / 'dcpclip_mini_dcs.py').model
    assert dcs.selection == whole.selection
    paths = [*folder.glob('*_theta_*.py'), *folder.glob('*_union*.py')]
    assert len(paths) == 10
    for path in sorted(paths):
        model = Config.fromfile(path).model
        assert model.selection != whole.selection
        assert model.selection.get('form', 'paper') == (
            'union' if 'union' in path.stem else 'paper')
        model.selection = whole.selection
        assert model == whole, path  # sizes and all others are untouched


def test_the_paper_s_form_differs_in_loss_selection_and_refinement_alone():
    paths = sorted(FOLDER.glob('*_paper.py'))
    assert len(paths) == 3
    for path in paths:
        paper, default = (
            Config.fromfile(path.with_stem(stem)).to_dict()
            for stem in (path.stem, path.stem.removesuffix('_paper')))
        one = paper['model']['decode_head'].pop('loss_decode')
        two = default['model']['decode_head'].pop('loss_decode')
        assert one == dict(type='SelectedBCELoss') == two[0]
        assert [loss['type'] for loss in two[1:]] == ['SelectedCrossEntropyLoss']
        forms = [config['model']['selection'].pop('form', 'paper')
                 for config in (paper, default)]
        assert forms == ['paper', 'paper' if 'mini' in path.stem else 'union']
        assert 'refinement' not in paper['model']
        refinement = default['model'].pop('refinement', None)
        assert (refinement is not None) == ('mini' in path.stem)
        assert paper == default


def test_read_outs():
    """Of the real models CAT-Seg's, of the mini model the plain one; a row each."""
    for name in ('vitb16_coco', 'vitl14_coco', 'vitb16_own'):
        model = Config.fromfile(FOLDER / f'dcpclip_{name}.py').model
        assert model.backbone.read_out == 'catseg'
    for world, path in (('vitb16', FOLDER / 'dcpclip_vitb16_coco_paper.py'),
                        ('mini', MINI_CONFIG)):
        whole = Config.fromfile(path).model
        other = 'plain' if world == 'vitb16' else 'catseg'
        row = Config.fromfile(FOLDER / 'ablations' / world /
                              f'dcpclip_{world}_read_out_{other}.py').model
        assert row.backbone.pop('read_out') == other
        assert whole.backbone.pop('read_out', 'plain') != other
        assert row == whole


def own_text(path):
    """What a config says itself, without comment, world and the whole model.

    Nor with what DDP waits for, which the read-out decides.
    """
    text = path.read_text().replace(f'dcpclip_{path.parent.name}_', '')
    return re.sub(r"^(#.*|find_unused_.*|_base_ = '\.\./\.\..*')\n", '', text,
                  flags=re.M)


def test_both_worlds_switch_the_same():
    real, mini = ({path.stem.removeprefix(f'dcpclip_{world}_'): path
                   for path in (FOLDER / 'ablations' / world).glob('*.py')}
                  for world in ('vitb16', 'mini'))
    assert len(real) == 33
    # theta 0.5 and the catseg read-out are the real model's own
    assert set(mini) - set(real) == {'theta_05', 'union', 'read_out_catseg'}
    assert set(real) - set(mini) == {'read_out_plain'}
    for name, path in real.items():
        if name in ('read_out_plain', 'cost_aggregation', 'ce_refined'):  # own sizes
            continue
        assert own_text(path) == own_text(mini[name]), name


@pytest.mark.parametrize('world', tables.WORLDS)
def test_rows_that_share_a_training_differ_in_testing_only(world):
    for name, trained in tables.SAME_TRAINING.items():
        one, other = (Config.fromfile(tables.table_config(n, world, FOLDER)).to_dict()
                      for n in (name, trained))
        changed = {key for key in one['model'] | other['model']
                   if one['model'].get(key) != other['model'].get(key)}
        assert changed == dict(
            ce_refined={'refinement'}, ce_refined_shift={'refinement', 'test_cfg'}).get(
                name, {'tag_validation'})
        if changed == {'tag_validation'}:
            assert one['model']['tag_validation'] is None
            assert set(other['model']['tag_validation']) == {'seen', 'top_k'}
        for config in (one, other):
            for key in changed:
                config['model'].pop(key, None)
            assert config['default_hooks']['vocabulary'] == dict(type='VocabularyHook')
            assert not config.get('custom_hooks')
        assert one == other
