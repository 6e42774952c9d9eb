"""One config and one checkpoint give one answer, or one refusal, on every route."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, save_checkpoint
from mmseg.apis import MMSegInferencer, inference_model, init_model
from PIL import Image
from toys import MINI, WORDS, toy_model, toy_model_config, toy_samples

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.cli import main
from mmseg_dcpclip.models.weights import WeightsError

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
            dict(type='PackSegInputs')]
VALIDATION = dict(seen=[WORDS[0]], top_k=1)


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path)


def fill(folder):
    """Give a folder a picture with its label and the words, for ``config_of``."""
    for name in ('images', 'labels'):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(
        folder / 'images' / 'a.jpg')
    Image.fromarray(rng.integers(0, 5, (32, 40), dtype=np.uint8)).save(
        folder / 'labels' / 'a.png')
    (folder / 'classes.txt').write_text('\n'.join(WORDS))
    return folder


def config_of(folder, hooks=None, **changes) -> Config:
    """A config of the picture in a folder, without VocabularyHook unless asked for."""
    loader = dict(
        batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='TextVocabDataset', data_root=str(folder), vocabulary='classes.txt',
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            pipeline=PIPELINE))
    return Config(dict(
        model=toy_model_config(tag_validation=VALIDATION, **changes),
        test_pipeline=PIPELINE, default_scope='mmseg', log_level='ERROR',
        custom_imports=dict(imports=['mmseg_dcpclip'], allow_failed_imports=False),
        work_dir=str(folder / 'work'), experiment_name=f'{folder.name}_{len(changes)}',
        test_dataloader=loader, test_cfg=dict(type='TestLoop'),
        test_evaluator=dict(type='OVIoUMetric', output_dir=str(folder / 'out'),
                            seen=WORDS[:1]),
        default_hooks=hooks or {},
        visualizer=dict(type='SegLocalVisualizer', name=folder.name)))


def write(config, folder):
    path = folder / 'config.py'
    config.dump(str(path))
    return str(path)


# ------------------------------------------------------------------------- routes

def by_runner(config, checkpoint, folder):
    config.load_from = checkpoint
    Runner.from_cfg(config).test()
    return np.asarray(Image.open(folder / 'out' / 'a.png')).astype(int)


def by_command(config, checkpoint, folder):
    assert main(['test', write(config, folder), checkpoint, '--debug']) == 0
    return np.asarray(Image.open(folder / 'out' / 'a.png')).astype(int)


def by_predictor(config, checkpoint, folder):
    sample = Predictor(config, checkpoint).predict(folder / 'images' / 'a.jpg')
    return sample.pred_sem_seg.data[0].numpy()


def by_inference_model(config, checkpoint, folder):
    model = init_model(config, checkpoint, device='cpu')
    sample = inference_model(model, str(folder / 'images' / 'a.jpg'))
    return sample.pred_sem_seg.data[0].numpy()


def by_inferencer(config, checkpoint, folder):
    inferencer = MMSegInferencer(write(config, folder), checkpoint, device='cpu')
    return inferencer(str(folder / 'images' / 'a.jpg'))['predictions']


def by_resuming(config, checkpoint, folder):
    """Loads only: what --resume does before it trains."""
    train = dict(config.test_dataloader, sampler=dict(type='InfiniteSampler'))
    config.merge_from_dict(dict(
        train_dataloader=train, optim_wrapper=dict(optimizer=dict(type='AdamW')),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=1)))
    runner = Runner.from_cfg(config)
    runner._train_loop = runner.build_train_loop(config.train_cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.resume(checkpoint)


ROUTES = [by_runner, by_command, by_predictor, by_inference_model, by_inferencer]
LOADING = [*ROUTES, by_resuming]


def save(state, folder, **more):
    path = str(folder / 'model.pth')
    meta = dict(dataset_meta=dict(classes=('of', 'training'), palette=[[0] * 3] * 2),
                experiment_name='some_config_20260101_000000', epoch=0, iter=0)
    save_checkpoint(dict(state_dict=state, meta=meta, message_hub={}, **more), path)
    return path


# ------------------------------------------------------------------------- answers

@pytest.fixture(scope='module')
def weights():
    init_default_scope('mmseg')
    return toy_model(seed=1).state_dict()


@pytest.mark.parametrize('test_cfg', [
    dict(mode='whole'), dict(mode='slide', crop_size=(24, 24), stride=(16, 16))])
def test_every_route_gives_the_same_map(folder, weights, test_cfg):
    checkpoint = save(weights, folder)
    maps = {route.__name__: route(config_of(folder, test_cfg=test_cfg), checkpoint,
                                  folder) for route in ROUTES}
    first = maps['by_predictor']
    for name, seg_map in maps.items():
        np.testing.assert_array_equal(seg_map, first, err_msg=name)
    # tag validation is part of that answer
    config = config_of(folder, test_cfg=test_cfg)
    config.model.tag_validation = None
    assert (by_predictor(config, checkpoint, folder) != first).any()


def test_the_hook_alone_serves_runner_and_predictor(folder, weights):
    checkpoint = save(weights, folder)
    expected = by_predictor(config_of(folder), checkpoint, folder)
    for type_name in ('TagValidationHook', 'mmseg.TagValidationHook'):
        config = config_of(folder, hooks=dict(tags=dict(type=type_name, **VALIDATION)))
        config.model.tag_validation = None
        for route in (by_runner, by_predictor):
            np.testing.assert_array_equal(route(config, checkpoint, folder), expected)


def test_hook_and_model_that_disagree_are_refused(folder, weights):
    hook = dict(type='TagValidationHook', seen=WORDS[:2], top_k=1)
    config = config_of(folder, hooks=dict(tags=hook))
    with pytest.raises(ValueError, match='remove the hook'):
        by_runner(config, save(weights, folder), folder)


@pytest.mark.parametrize('route', [by_runner, by_command])
@pytest.mark.parametrize('hooks', [{}, dict(vocabulary=dict(type='VocabularyHook'))])
def test_words_follow_the_data_whatever_hooks_there_are(folder, weights, route, hooks):
    words = ['sky', *reversed(WORDS), 'sea']
    (folder / 'classes.txt').write_text('\n'.join(words))
    checkpoint = save(weights, folder)
    config = config_of(folder, hooks=hooks)
    config.custom_hooks = [dict(type='EMAHook', priority='LOW')]
    seg_map = route(config, checkpoint, folder)
    predictor = Predictor(config_of(folder), checkpoint)
    expected = predictor.predict(folder / 'images' / 'a.jpg', words)
    np.testing.assert_array_equal(seg_map, expected.pred_sem_seg.data[0].numpy())


RULE = dict(words=['sky', 'sea'], threshold=0.104, id=1)  # about half of the pixels


@pytest.fixture(scope='module')
def ruled(weights, tmp_path_factory):
    """A folder whose words say what is of none of them, with a checkpoint.

    And the map of its picture where a call says the same, or that nothing is.
    """
    folder = fill(tmp_path_factory.mktemp('ruled'))
    (folder / 'classes.json').write_text(json.dumps(dict(
        classes=WORDS, background=RULE)))
    checkpoint = save(weights, folder)
    predictor = Predictor(config_of(folder), checkpoint)
    maps = [predictor.predict(folder / 'images' / 'a.jpg', background=background
                              ).pred_sem_seg.data[0].numpy()
            for background in (RULE, 'none')]
    assert 0 < (maps[0] == 1).mean() < 1 and (maps[0] != maps[1]).any()
    return folder, checkpoint, *maps


@pytest.mark.parametrize('route', ROUTES)
def test_the_background_follows_the_words(ruled, route):
    folder, checkpoint, expected, _ = ruled
    config = config_of(folder, vocabulary=str(folder / 'classes.json'))
    config.test_dataloader.dataset.vocabulary = 'classes.json'
    np.testing.assert_array_equal(route(config, checkpoint, folder), expected)


def test_the_background_follows_the_data(ruled):
    """The model's own words are the same without a background."""
    folder, checkpoint, expected, _ = ruled
    config = config_of(folder)
    config.test_dataloader.dataset.vocabulary = 'classes.json'
    np.testing.assert_array_equal(by_runner(config, checkpoint, folder), expected)


def test_the_test_settings_have_the_last_word_about_the_background(ruled):
    folder, checkpoint, _, without = ruled
    words = str(folder / 'classes.json')
    for off in (None, 'none'):
        config = config_of(folder, vocabulary=words, test_cfg=dict(background=off))
        np.testing.assert_array_equal(by_predictor(config, checkpoint, folder), without)
    config = config_of(folder, vocabulary=words, test_cfg=dict(
        background=dict(threshold=1, id=2)))
    assert (by_predictor(config, checkpoint, folder) == 2).all()


def test_words_that_nobody_has_are_refused():
    model = toy_model().eval()
    data = model.data_preprocessor(toy_samples([(16, 16)]))
    data['data_samples'][0].set_metainfo(dict(vocabulary_digest='0' * 64))
    for mode in ('predict', 'loss'):
        with pytest.raises(ValueError, match='other words than the model.*set_vocab'):
            model(**data, mode=mode)


def test_a_batch_of_two_vocabularies_equals_one_by_one():
    """As a concatenation of two datasets makes it."""
    other = Vocabulary(['sky', 'sea|ocean'])
    results = []
    for order in ([0, 1, 0], [0], [1]):
        model = toy_model(test_cfg=dict(return_logits=True))
        both = [model.vocabulary, other]
        data = toy_samples([(32, 32)] * len(order), num_classes=2)
        for i, (sample, which) in enumerate(zip(data['data_samples'], order)):
            sample.set_metainfo(dict(vocabulary_digest=both[which].digest))
            data['inputs'][i] = toy_samples([(32, 32)] * 3, 2)['inputs'][which]
            sample.gt_sem_seg = toy_samples(
                [(32, 32)] * 3, 2)['data_samples'][which].gt_sem_seg
        batch = model.data_preprocessor(data)
        loss = model(**batch, mode='loss')['decode.loss_bce']
        with torch.no_grad():
            samples = model.eval()(**batch, mode='predict')
        results.append((loss, [sample.seg_logits.data for sample in samples]))
    (mixed, maps), (first, own), (second, others) = results
    torch.testing.assert_close(mixed, (2 * first + second) / 3, atol=1e-5, rtol=1e-5)
    for found, expected in zip(maps, (own[0], others[0], own[0])):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_our_configs_keep_the_words_whatever_hooks_are_added(tmp_path):
    """The mini config with hooks of one's own scores as without."""
    from mmseg_dcpclip.shipped import config_path
    scores = []
    options = ['test_dataloader.dataset.num_pictures=2',
               'test_dataloader.dataset.categories=mini-20', 'log_level=ERROR',
               'test_dataloader.dataset.side=48']
    for hooks in ('', "custom_hooks = [dict(type='EmptyCacheHook')]"):
        path, out = tmp_path / 'mine.py', tmp_path / f'{len(scores)}.json'
        path.write_text(f"_base_ = '{config_path('dcpclip_mini_frozen')}'\n{hooks}\n")
        assert main(['test', str(path), 'none', '--work-dir', str(tmp_path / 'work'),
                     '--cfg-options', *options, f'test_evaluator.out_json={out}',
                     f'experiment_name=hooks{len(scores)}']) == 0
        scores.append(out.read_text())
    assert scores[0] == scores[1] and '"mIoU": 0.0' not in scores[0]


# ------------------------------------------------------------------------- weights

@pytest.mark.parametrize('route', LOADING)
def test_half_a_checkpoint_is_refused(folder, weights, route, capsys):
    half = {k: v for k, v in weights.items()
            if not k.startswith(('neck.', 'decode_head.'))}
    config = config_of(folder, hooks=dict(vocabulary=dict(type='VocabularyHook')))
    with pytest.raises(WeightsError, match=(
            r'another model: of the \d+ weights \d+ are missing \(neck\.')):
        route(config, save(half, folder), folder)


@pytest.mark.parametrize('route', LOADING)
def test_another_width_is_refused(folder, weights, route):
    changes = toy_model_config()
    changes['neck']['cost_dims'] = changes['decode_head']['cost_dims'] = 8
    config = config_of(folder, **{k: changes[k] for k in ('neck', 'decode_head')})
    with pytest.raises(WeightsError, match=(
            r'another shape \(neck.cost_conv.weight \(16 x 2 x 3 x 3 there, '
            r'8 x 2 x 3 x 3 here\).*It holds a ViT of 5 blocks of width 128.*'
            'cost_dims=16')):
        route(config, save(weights, folder), folder)


@pytest.mark.parametrize('route', LOADING)
def test_more_than_the_model_is_refused(folder, weights, route):
    smaller = dict(toy_model_config()['neck'], guidance_prompt=False)
    smaller['cross_attention'] = False
    with pytest.raises(WeightsError, match='have no place in the model .neck.guidance'):
        route(config_of(folder, neck=smaller), save(weights, folder), folder)


@pytest.mark.parametrize('route', LOADING)
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_broken_numbers_are_refused(folder, weights, route, value):
    broken = {k: v.clone() for k, v in weights.items()}
    broken['decode_head.conv_seg.bias'][0] = value
    with pytest.raises(WeightsError, match=(
            r'1 of the \d+ weights .* NaN or infinite .decode_head.conv_seg.bias')):
        route(config_of(folder), save(broken, folder), folder)


@pytest.mark.parametrize('form', ['module.', 'ema.module.', '_orig_mod.', 'ema'])
@pytest.mark.parametrize('route', ROUTES)
def test_wrapped_and_averaged_weights_are_understood(folder, weights, route, form):
    expected = by_predictor(config_of(folder), save(weights, folder), folder)
    if form == 'ema':  # only the averaged ones, as mmengine's EMAHook names them
        state = {f'module.{k}': v for k, v in weights.items()}
        path = str(folder / 'model.pth')
        save_checkpoint(dict(ema_state_dict=dict(state, steps=torch.tensor(3)),
                             meta=dict(dataset_meta={})), path)
    else:
        path = save({form + k: v for k, v in weights.items()}, folder)
    np.testing.assert_array_equal(route(config_of(folder), path, folder), expected)


def test_the_message_names_file_and_config(folder, weights, capsys):
    half = {k: v for k, v in weights.items() if not k.startswith('neck.')}
    path = save(half, folder)
    with pytest.raises(WeightsError, match=(
            'model.pth .trained with the config some_config.: this checkpoint')):
        Predictor(config_of(folder), path)
    assert main(['test', write(config_of(folder), folder), path]) == 1
    error = capsys.readouterr().err
    assert 'some_config' in error and error.count('\n') == 1


def test_an_auxiliary_head_may_stay_behind(folder, weights):
    more = dict(weights, **{'auxiliary_head.conv.weight': torch.zeros(2)})
    Predictor(config_of(folder), save(more, folder))


def test_a_part_is_loaded_where_somebody_asks_for_it(weights):
    model = toy_model(seed=2)
    part = {k: v for k, v in weights.items() if k.startswith('neck.')}
    model.load_state_dict(part, strict=False)
    assert torch.equal(model.state_dict()['neck.cost_conv.weight'],
                       weights['neck.cost_conv.weight'])
    with pytest.raises(WeightsError):
        model.load_state_dict(part)


# ------------------------------------------------------------------- construction

@pytest.mark.parametrize('changes, message', [
    (dict(decode_head=dict(type='FCNHead', in_channels=128, channels=8, num_classes=5)),
     'decode_head: FCNHead .*SpatialEnhancedDecoder or CosineHead.*auxiliary_head'),
    (dict(decode_head=dict(type='mmseg.PSPHead')), 'decode_head: PSPHead'),
    (dict(neck=dict(type='MultiLevelNeck', in_channels=[8], out_channels=8)),
     'neck: MultiLevelNeck .*TextGuidedAlignment or CosineNeck'),
    (dict(neck=dict(toy_model_config()['neck'], embed_dims=64)),
     'neck.embed_dims is 64, .* make it 128'),
    (dict(neck=dict(toy_model_config()['neck'], num_templates=80)),
     'neck.num_templates is 80, .* make it 2'),
    (dict(decode_head=dict(toy_model_config()['decode_head'], cost_dims=24)),
     'decode_head.cost_dims is 24, .* make it 16: leave'),
    (dict(decode_head=dict(toy_model_config()['decode_head'], shallow_dims=768)),
     'decode_head.shallow_dims is 768, .* make it 128'),
    (dict(decode_head=dict(toy_model_config()['decode_head'], num_shallow=3)),
     'decode_head.num_shallow is 3, .* make it 2'),
    (dict(backbone=dict(type='ResNet', depth=18)),
     'backbone: ResNet gives no patch features .*joint_dims'),
    (dict(selection=dict(theta=2)), 'theta'),
    (dict(selection=dict(form='best')), 'form'),
    (dict(tag_validation=dict(top_k=0)), 'top_k'),
    (dict(test_cfg=dict(mod='whole')), "did you mean 'mode'"),
])
def test_what_cannot_work_is_refused_when_built(changes, message):
    with pytest.raises(ValueError, match=message):
        toy_model(**changes)


def test_sizes_need_not_be_repeated():
    model = toy_model(neck=dict(type='TextGuidedAlignment', cost_dims=16,
                                num_self_heads=2, mlp_ratio=1),
                      decode_head=dict(type='SpatialEnhancedDecoder', window_size=3,
                                       attention_grid=4, num_shallow=1),
                      backbone=dict(type='CLIPVisionBackbone', out_indices=(0, 1, 3),
                                    **MINI))
    assert model.neck.cost_conv.in_channels == 2
    assert model.decode_head.layers[0].shallow_conv.in_channels == 128
    with torch.no_grad():
        assert model.eval().predict(torch.randn(1, 3, 16, 16))
