"""Predictor, and mmseg's own ways to use a model."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import save_checkpoint
from mmseg.apis import MMSegInferencer, inference_model, init_model
from mmseg.structures import SegDataSample
from PIL import Image
from toys import WORDS, toy_model, toy_model_config

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis import OVSegInferencer

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
            dict(type='PackSegInputs')]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Path of a config and of a checkpoint with the training set's names."""
    folder = tmp_path_factory.mktemp('model')
    config = Config(dict(
        model=toy_model_config(), test_pipeline=PIPELINE, default_scope='mmseg',
        custom_imports=dict(imports=['mmseg_dcpclip'], allow_failed_imports=False),
        test_dataloader=dict(dataset=dict(pipeline=PIPELINE)),
        visualizer=dict(type='SegLocalVisualizer', name='visualizer')))
    config.dump(str(folder / 'toy.py'))
    from mmengine.registry import init_default_scope
    init_default_scope('mmseg')
    meta = dict(dataset_meta=dict(classes=('of', 'training'), palette=[[0] * 3] * 2))
    save_checkpoint(dict(state_dict=toy_model().state_dict(), meta=meta),
                    str(folder / 'toy.pth'))
    return str(folder / 'toy.py'), str(folder / 'toy.pth')


@pytest.fixture(scope='module')
def predictor(trained):
    return Predictor(*trained)


def picture(height=24, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3),
                                                dtype=np.uint8)


def test_one_in_one_out_and_a_list_for_a_list(predictor, tmp_path):
    path = tmp_path / 'p.png'
    Image.fromarray(picture()).save(path)
    one = predictor.predict(path)
    assert isinstance(one, SegDataSample) and one.classes == tuple(WORDS)
    assert one.pred_sem_seg.data.shape == (1, 24, 32)
    several = predictor.predict([str(path), picture(9, 50), Image.fromarray(picture())])
    assert [s.pred_sem_seg.data.shape[1:] for s in several] == [(24, 32), (9, 50),
                                                               (24, 32)]
    for sample in (several[0], several[2]):
        assert torch.equal(sample.pred_sem_seg.data, one.pred_sem_seg.data)
    assert predictor.predict([]) == []


def test_words_of_a_call_do_not_stay(predictor):
    before = predictor.predict(picture()).pred_sem_seg.data
    words = Vocabulary(['sky', 'sea|ocean'])
    other = predictor.predict(picture(), words)
    assert other.classes == ('sky', 'sea') and other.pred_sem_seg.data.max() <= 1
    assert predictor.vocabulary.names == tuple(WORDS)
    assert torch.equal(predictor.predict(picture()).pred_sem_seg.data, before)
    with pytest.raises(ValueError, match='empty'):
        predictor.predict(picture(), [])
    with pytest.raises(FileNotFoundError):
        predictor.predict('gone.png', ['sky'])
    assert predictor.vocabulary.names == tuple(WORDS)


def test_a_stream_equals_a_list_and_holds_one_batch(predictor):
    pictures = [picture(seed=i) for i in range(9)]
    expected = [s.pred_sem_seg.data for s in predictor.predict(pictures)]
    read, alive = [], weakref.WeakSet()

    def source():
        for one in pictures:
            read.append(len(alive))
            yield one

    predictor.batch_size = 2
    try:
        i = -1  # not enumerate, which holds what it gave last
        for sample in predictor.predict_stream(source()):
            i += 1
            assert torch.equal(sample.pred_sem_seg.data, expected[i])
            assert len(read) <= i + 2  # no further than the batch
            alive.add(sample.pred_sem_seg)
            del sample
            gc.collect()
            assert not alive
    finally:
        predictor.batch_size = 8
    assert i == 8


def test_words_between_two_of_a_stream(predictor):
    stream = predictor.predict_stream([picture()] * 9, ['sky', 'sea'])
    first = next(stream)
    assert predictor.predict(picture()).classes == tuple(WORDS)
    assert all(s.classes == first.classes == ('sky', 'sea') for s in stream)
    with pytest.raises(ValueError, match='empty'):
        predictor.predict_stream([], [])  # at once


def test_a_bad_picture_ends_a_stream_behind_those_before_it(predictor):
    stream = predictor.predict_stream([picture(), picture(), 'gone.png', picture()])
    assert len([next(stream), next(stream)]) == 2
    with pytest.raises(FileNotFoundError, match='gone.png'):
        next(stream)


@pytest.mark.parametrize('size', [(1, 1), (3, 400), (50, 2)])
def test_odd_sizes(predictor, size):
    assert predictor.predict(picture(*size)).pred_sem_seg.data.shape == (1, *size)


@pytest.mark.parametrize('words', [['one'], ['собака', '犬', 'σκύλος'],
                                   ['very ' * 200 + 'long', 'short']])
@pytest.mark.filterwarnings('ignore:a prompt of')
def test_odd_words(predictor, words):
    sample = predictor.predict(picture(), words)
    assert sample.pred_sem_seg.data.max() < len(words)
    assert predictor.draw(picture(), sample, words).size[0] > 64


def test_validation_without_a_runner(trained, predictor):
    config = Config.fromfile(trained[0])
    config.custom_hooks = [dict(type='TagValidationHook', seen=[WORDS[0]], top_k=1)]
    checked = Predictor(config, trained[1])
    assert checked.model.tag_validation.seen.names == (WORDS[0], )
    assert predictor.model.tag_validation is None
    maps = [p.predict(picture()).pred_sem_seg.data for p in (checked, predictor)]
    assert not torch.equal(*maps)


def test_a_lazy_config(trained):
    """Its types are classes."""
    from mmseg.datasets.transforms import PackSegInputs

    from mmseg_dcpclip import models
    from mmseg_dcpclip.datasets import LoadWideAnnotations
    from mmseg_dcpclip.engine import TagValidationHook
    lazy = toy_model_config(type=models.DCPCLIP)
    for part, kind in (('backbone', models.CLIPVisionBackbone),
                       ('text_encoder', models.CLIPTextEncoder),
                       ('neck', models.TextGuidedAlignment),
                       ('decode_head', models.SpatialEnhancedDecoder)):
        lazy[part]['type'] = kind
    config = Config(dict(
        model=lazy, custom_hooks=[dict(type=TagValidationHook, seen=[WORDS[0]],
                                       top_k=1)],
        test_pipeline=[dict(type=LoadWideAnnotations), dict(type=PackSegInputs)]))
    predictor = Predictor(config, trained[1])
    assert predictor.model.tag_validation.seen.names == (WORDS[0], )
    assert len(predictor.pipeline.transforms) == 1
    assert predictor.predict(picture()).pred_sem_seg.data.shape == (1, 24, 32)


def test_bad_models(trained, tmp_path):
    config, checkpoint = trained
    with pytest.raises(FileNotFoundError, match='gone.py'):
        Predictor('gone.py')
    with pytest.raises(FileNotFoundError, match='gone.pth'):
        Predictor(config, 'gone.pth')
    torn = tmp_path / 'torn.pth'
    torn.write_bytes(b'no checkpoint')
    with pytest.raises(ValueError, match='torn.pth'):
        Predictor(config, torn)
    other = toy_model(neck=None, decode_head=dict(type='CosineHead'))
    save_checkpoint(dict(state_dict=other.state_dict()), str(tmp_path / 'other.pth'))
    with pytest.raises(ValueError, match='another model'):
        Predictor(config, tmp_path / 'other.pth')
    no_data = Config(dict(model=toy_model_config()))
    with pytest.raises(ValueError, match='test_pipeline'):
        Predictor(no_data)
    stock = Config(dict(test_pipeline=PIPELINE, model=dict(
        type='EncoderDecoder', backbone=dict(
            type='CLIPVisionBackbone', model_name='mini-ViT-8', plain=True,
            out_indices=(1, )),
        decode_head=dict(type='FCNHead', in_channels=128, channels=4, num_classes=2))))
    with pytest.raises(ValueError, match='DCPCLIP'):
        Predictor(stock)


def test_without_a_checkpoint_the_head_is_said_to_be_untrained():
    config = Config(dict(model=toy_model_config(), test_pipeline=PIPELINE))
    with pytest.warns(UserWarning, match='untrained'):
        Predictor(config)


# ------------------------------------------------------------------ mmseg's own ways

def test_inference_model(trained, predictor):
    model = init_model(*trained, device='cpu')
    assert model.dataset_meta['classes'] == tuple(WORDS)  # not the training set's
    result = inference_model(model, picture()[..., ::-1].copy())  # BGR there
    assert torch.equal(result.pred_sem_seg.data,
                       predictor.predict(picture()).pred_sem_seg.data)


def test_inferencer(trained, predictor, tmp_path):
    path = tmp_path / 'p.png'
    Image.fromarray(picture()).save(path)
    inferencer = MMSegInferencer(*trained, device='cpu')
    result = inferencer(str(path), return_vis=True, show=False)
    expected = predictor.predict(path).pred_sem_seg.data[0].numpy()
    np.testing.assert_array_equal(result['predictions'], expected)
    assert result['visualization'].shape == (24, 32, 3)
    assert tuple(inferencer.visualizer.dataset_meta['classes']) == tuple(WORDS)


def test_our_inferencer_takes_the_words(trained, predictor, tmp_path):
    path = tmp_path / 'p.png'
    Image.fromarray(picture()).save(path)
    words = ['sky', 'sea|ocean', 'sand']
    expected = predictor.predict(path, words).pred_sem_seg.data[0].numpy()
    ours = OVSegInferencer(*trained, classes=words, palette=[[9, 9, 9], [40, 40, 40],
                                                             [80, 80, 80]],
                           device='cpu')
    result = ours(str(path), return_vis=True)
    np.testing.assert_array_equal(result['predictions'], expected)
    assert tuple(ours.visualizer.dataset_meta['classes']) == ('sky', 'sea', 'sand')
    assert ours.visualizer.dataset_meta['palette'][0] == [9, 9, 9]
    named = OVSegInferencer(*trained, dataset_name='pascal_voc_20', device='cpu')
    assert len(named.model.vocabulary) == 20
    stock = OVSegInferencer(*trained, dataset_name='cityscapes', device='cpu')
    assert stock.model.vocabulary.names[0] == 'road'


def test_our_inferencer_writes_any_id(trained, tmp_path):
    Image.fromarray(picture()).save(tmp_path / 'p.png')
    ours = OVSegInferencer(*trained, classes=[f'thing {i}' for i in range(600)],
                           device='cpu')
    ours.model.selection.theta = 0.0
    for turn in range(2):
        result = ours(str(tmp_path / 'p.png'), out_dir=str(tmp_path / 'out'))
        written = np.asarray(Image.open(
            tmp_path / 'out' / 'pred' / f'{turn:08d}_pred.png')).astype(int)
        np.testing.assert_array_equal(written, result['predictions'])
    assert written.max() > 255


def test_our_own_configs_there(tmp_path):
    """Words and pipeline of configs/dcpclip_mini*.py as they are."""
    configs = Path(__file__).resolve().parents[2] / 'configs'
    path = tmp_path / 'p.png'
    Image.fromarray(picture(96, 96)).save(path)
    frozen = init_model(str(configs / 'dcpclip_mini_frozen.py'), device='cpu')
    frozen.load_clip()
    sample = inference_model(frozen, str(path))
    assert sample.pred_sem_seg.data.shape == (1, 96, 96)
    assert len(frozen.dataset_meta['classes']) == 171

    config = str(configs / 'dcpclip_mini.py')
    model = init_model(config, device='cpu')
    save_checkpoint(dict(state_dict=model.state_dict(), meta=dict(dataset_meta={})),
                    str(tmp_path / 'mini.pth'))
    inferencer = MMSegInferencer(config, str(tmp_path / 'mini.pth'), device='cpu')
    result = inferencer(str(path), out_dir=str(tmp_path / 'out'))
    assert result['predictions'].shape == (96, 96)
    assert (tmp_path / 'out' / 'vis' / 'p.png').is_file()
