"""Every config builds, from any folder, without network or data."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import open_clip
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmseg.registry import HOOKS, METRICS, MODELS

from mmseg_dcpclip import Predictor
from mmseg_dcpclip.engine import VocabularyHook, use_mode, use_tta
from mmseg_dcpclip.evaluation.benchmarks import collect_benchmarks
from mmseg_dcpclip.evaluation.efficiency import count_parameters
from mmseg_dcpclip.models import CosineNeck, OVSegTTAModel
from mmseg_dcpclip.models.clip.layers import resize_position_embedding
from mmseg_dcpclip.models.segmentors.settings import PredictSettings
from mmseg_dcpclip.models.segmentors.views import make_views
from mmseg_dcpclip.shipped import config_path

FOLDER = Path(__file__).resolve().parents[1] / 'configs'
CONFIGS = sorted(path for path in FOLDER.rglob('*.py') if '_base_' not in path.parts)
NAMES = [str(path.relative_to(FOLDER)) for path in CONFIGS]


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_builds_from_another_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(path)
    assert config.default_scope == 'mmseg'
    with torch.device('meta'):
        model = MODELS.build(config.model)
    assert (config.model.get('neck') is None) == isinstance(model.neck, CosineNeck)
    assert isinstance(model.neck, CosineNeck) or millions(model.neck) > 0
    assert all(loss.loss_name.startswith('loss') for loss in model.decode_head.losses)
    validates = config.model.get('tag_validation') is not None
    assert (model.tag_validation is not None) == validates
    hooks = [*config.default_hooks.values(), *config.get('custom_hooks', [])]
    assert any(isinstance(HOOKS.build(hook), VocabularyHook) for hook in hooks)
    metric = METRICS.build(config.test_evaluator)
    assert metric.ignore_index == config.model.ignore_index
    assert not list(tmp_path.iterdir())
    if path.stem == 'dcpclip_mini':
        assert MODELS.build(config.model).vocabulary.name == 'mini-seen'


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_augments_at_test_time(path, tmp_path):
    config = Config.fromfile(path)
    use_tta(config)
    with torch.device('meta'):
        assert isinstance(MODELS.build(config.model), OVSegTTAModel)
    image, label = tmp_path / 'image.png', tmp_path / 'label.png'
    cv2.imwrite(str(image), np.random.default_rng(0).integers(
        0, 256, (96, 128, 3), np.uint8))
    cv2.imwrite(str(label), np.tile(np.arange(128, dtype=np.uint8), (96, 1)))
    forms = Compose(config.test_dataloader.dataset.pipeline)(dict(
        img_path=str(image), seg_map_path=str(label), seg_fields=[],
        reduce_zero_label=False, label_map=None))
    one, mirrored = forms['inputs']
    assert torch.equal(one.flip(2), mirrored)
    assert [sample.flip for sample in forms['data_samples']] == [False, True]
    truth = forms['data_samples'][0].gt_sem_seg.data
    assert torch.equal(truth[0, 0], torch.arange(128)) and truth.shape[1] == 96


@pytest.mark.parametrize('name', [
    'dcpclip_mini', 'dcpclip_vitb16_coco', 'dcpclip_vitb16_own',
    'dcpclip_vitl14_frozen'])
def test_has_both_modes(name):
    """One of them is how the config tests without a word."""
    config = Config.fromfile(config_path(name))
    as_it_is = PredictSettings.of(config.model.test_cfg)
    assert list(config.modes) == ['fast', 'accurate']
    found = {}
    for name in config.modes:
        own = config.copy()
        own.model = config.model.copy()
        use_mode(own, name)
        found[name] = PredictSettings.of(own.model.test_cfg)
        assert found[name].synonyms == as_it_is.synonyms
    assert found['fast'].mode == 'whole' and found['fast'].tta == 'none'
    assert as_it_is in found.values() and found['fast'] != found['accurate']


def largest_view(images, settings):
    """Pixels of the largest view of images [B, 3, H, W], which the backbone gets."""
    views = make_views(images, **settings.views(), grid_of=lambda size: size).images
    return views.shape[-2] * views.shape[-1]


@pytest.mark.parametrize('path', CONFIGS, ids=NAMES)
def test_a_photo_reaches_the_backbone_at_a_bounded_size(path):
    config = Config.fromfile(path)
    settings = PredictSettings.of(config.model.test_cfg)
    pipelines = [config.test_pipeline, config.tta_pipeline,
                 *(loader.dataset.pipeline for loader in (
                     config.test_dataloader, config.val_dataloader)),
                 *(b.dataloader.dataset.pipeline
                   for b in config.get('benchmarks', {}).values())]
    distinct = {str(pipeline): pipeline for pipeline in pipelines}
    for pipeline in distinct.values():
        run = Compose([t for t in pipeline if not t.type.startswith('Load')])
        forms = run(dict(img=np.zeros((3000, 4000, 3), np.uint8),
                         img_shape=(3000, 4000), ori_shape=(3000, 4000)))
        inputs, samples = forms['inputs'], forms['data_samples']
        if not isinstance(inputs, list):
            inputs, samples = [inputs], [samples]
        for image, sample in zip(inputs, samples, strict=True):
            assert sample.ori_shape == (3000, 4000)  # the size of the result
            assert largest_view(image[None].float(), settings) <= 640**2


def test_the_first_photo_after_the_demo(monkeypatch):
    """The backbone of the real model, which is asked for no more than that."""
    config = Config.fromfile(FOLDER / 'dcpclip_mini_frozen.py')
    predictor = Predictor(config)
    seen = []

    def see(images, selection=None):
        seen.append(tuple(images.shape))
        raise KeyboardInterrupt

    monkeypatch.setattr(predictor.model, 'extract_feat', see)
    with pytest.raises(KeyboardInterrupt):
        predictor.predict(np.zeros((3000, 4000, 3), np.uint8))
    assert seen == [(1, 3, 288, 384)]


def test_size_of_the_models():
    """Table II's 80.3 M learnable of 443.6 M, in millions."""
    sizes = {}
    for name in ('vitb16', 'vitl14'):
        config = Config.fromfile(FOLDER / f'dcpclip_{name}_coco.py')
        with torch.device('meta'):
            sizes[name] = count_parameters(MODELS.build(config.model))
    own = {name: (size['parts']['alignment'] + size['parts']['decoder']) / 1e6
           for name, size in sizes.items()}
    assert 15.60 <= own['vitl14'] <= 15.87
    assert sizes['vitl14']['total'] / 1e6 == pytest.approx(443.6, abs=0.15)
    assert sizes['vitl14']['learnable_paper'] / 1e6 == pytest.approx(80.3, abs=0.15)
    assert 9 < own['vitb16'] < 10
    clip = sizes['vitb16']['total'] / 1e6 - own['vitb16']
    assert clip == pytest.approx(149.62, abs=0.01)


FROZEN = sorted(name for name in NAMES if 'frozen' in name and 'mini' not in name)


@pytest.mark.parametrize('name', FROZEN)
def test_training_free_configs_fit_their_weights(name):
    """Tag and normalisation as open_clip has them, windows of CLIP's own size."""
    config = Config.fromfile(FOLDER / name)
    model, means = config.model, config.model.data_preprocessor
    own = model.backbone.model_name, model.backbone.pretrained
    assert own == (model.text_encoder.model_name, model.text_encoder.pretrained)
    assert own in open_clip.list_pretrained()
    weights = open_clip.get_pretrained_cfg(*own)
    np.testing.assert_allclose(means.mean, 255 * np.array(weights['mean']), atol=1e-3)
    np.testing.assert_allclose(means.std, 255 * np.array(weights['std']), atol=1e-3)
    with torch.device('meta'):
        built = MODELS.build(model)
    assert not any(p.requires_grad for p in built.parameters())
    grid = [side / patch for side, patch in zip(
        built.settings.crop_size, built.backbone.patch_size)]
    table = built.backbone.visual.positional_embedding
    assert grid[0] == grid[1] and resize_position_embedding(
        table, (int(grid[0]), int(grid[1]))) is table
    assert model.backbone.read_out == 'kk_gauss'
    head = built.decode_head
    assert (head.activation, model.decode_head.scale, model.decode_head.bias) == (
        'softmax', 40, 0)


def test_frame_of_the_training_free_configs(tmp_path):
    """Short side 336, label at its own size; on every benchmark, too."""
    config = Config.fromfile(FOLDER / 'dcpclip_vitb16_frozen.py')
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.zeros((50, 75, 3), np.uint8))
    for loader in (config.val_dataloader, config.test_dataloader):
        packed = Compose(loader.dataset.pipeline)(dict(img_path=str(image)))
        assert packed['inputs'].shape == (3, 336, 504)
    for name in ('ade20k_150', 'pascal_voc_20'):
        benchmark, = collect_benchmarks(config, [name], FOLDER / '_base_' / 'datasets')
        assert benchmark.dataloader['dataset']['pipeline'] == config.test_pipeline
    larger = config.benchmark_pipelines.cityscapes_19
    assert Compose(larger)(dict(img_path=str(image)))['inputs'].shape == (3, 560, 840)
    config.benchmark_pipelines.ade20k_150 = larger
    benchmark, = collect_benchmarks(config, ['ade20k_150'],
                                    FOLDER / '_base_' / 'datasets')
    assert benchmark.dataloader['dataset']['pipeline'] == larger
    assert (config.model.test_cfg.crop_size, config.model.test_cfg.stride) == (
        (224, 224), (112, 112))


def test_checkpoints_of_version_0_1_still_load():
    """Names, shapes and types of all weights are those of that version."""
    known = {'dcpclip_mini': '01fc92dbb794b729', 'dcpclip_mini_frozen':
             '2ec54241be04bbe3', 'dcpclip_vitb16_coco': '4e9bfb3c27930ddd',
             'dcpclip_vitl14_coco': 'b95abe09ec521f49'}
    for name, digest in known.items():
        with torch.device('meta'):
            state = MODELS.build(Config.fromfile(FOLDER / f'{name}.py').model
                                 ).state_dict()
        text = '\n'.join(f'{key} {tuple(value.shape)} {value.dtype}'
                         for key, value in sorted(state.items()))
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest, name


def test_real_configs_fit_their_clip():
    """Widths and blocks in the configs against open_clip's architectures."""
    from mmseg_dcpclip.models.clip import clip_config
    for name, layers in (('vitb16', 12), ('vitl14', 24)):
        model = Config.fromfile(FOLDER / f'dcpclip_{name}_coco.py').model
        clip = clip_config(model.backbone.model_name)
        assert clip['vision_cfg']['layers'] == layers
        assert model.backbone.out_indices == (layers // 3 - 1, 2 * layers // 3 - 1)
        with torch.device('meta'):
            built = MODELS.build(model)
        widths = {'F_v': built.decode_head.layers[0].shallow_conv.in_channels,
                  'D': built.neck.image_projection.in_features,
                  'P': built.neck.cost_conv.in_channels}
        assert widths == {'F_v': 2 * clip['vision_cfg']['width'],
                          'D': clip['embed_dim'], 'P': 80}
        assert model.text_encoder.model_name == model.backbone.model_name
        pixels = model.backbone.get('input_size', model.test_cfg.crop_size)[0]
        assert pixels / clip['vision_cfg']['patch_size'] == 24
