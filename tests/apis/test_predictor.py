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


def test_modes_and_presets(trained):
    config = Config.fromfile(trained[0])
    config.modes = dict(fast=dict(mode='whole', size=(16, 16)))
    before = config.to_dict()
    fast = Predictor(config, trained[1], mode='fast', tta='flip')
    assert fast.model.settings.size == (16, 16) and fast.model.settings.tta == 'flip'
    assert config.to_dict() == before  # the caller's
    one = Predictor(config, trained[1]).model
    one.test_cfg = dict(mode='whole', size=(16, 16), tta='flip')
    expected = Predictor(config, trained[1])
    expected.model = one
    assert torch.equal(fast.predict(picture()).pred_sem_seg.data,
                       expected.predict(picture()).pred_sem_seg.data)
    for wrong, message in ((dict(mode='best'), "no mode 'best': choose fast"),
                           (dict(tta='pipeline'), 'choose none, flip, shift')):
        with pytest.raises(ValueError, match=message):
            Predictor(config, trained[1], **wrong)


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


def ids(sample):
    return sample.pred_sem_seg.data[0]


def agree(seg_map, expected):
    """Equal but for ties, which another number of words at once may turn."""
    return (seg_map == expected).float().mean() > 0.99


def test_background_of_a_call(predictor):
    plain, found = (predictor.predict(picture(), return_scores=True, **options)
                    for options in ({}, dict(background=['sky', 'sea'])))
    assert plain.none_id is None and found.none_id == len(WORDS)
    none = ids(found) == len(WORDS)
    assert 0 < none.float().mean() < 1
    assert agree(ids(found)[~none], ids(plain)[~none])
    assert set(found.word_scores.names) <= set(WORDS)  # never those of the background
    best = plain.word_scores.maps.amax(0)
    threshold = float(best.median())
    for background in (threshold, str(threshold)):
        found = predictor.predict(picture(), background=background)
        assert agree(ids(found), ids(plain).masked_fill(best < threshold, 5))
    both = predictor.predict(picture(), background=f'sky; {threshold}; sea')
    assert agree(ids(both), ids(found).masked_fill(none, 5))
    ignored = predictor.predict(picture(), background=dict(threshold=threshold,
                                                           id='ignore'))
    assert ignored.none_id == 255
    assert torch.equal(ids(ignored), ids(found).masked_fill(ids(found) == 5, 255))
    # nothing of this stays
    again = predictor.predict(picture())
    assert torch.equal(ids(again), ids(plain)) and again.none_id is None
    assert 'word_scores' not in again


def test_background_of_a_label_set(predictor):
    words = Vocabulary.load('pascal_voc_21')
    own, same = (predictor.predict(picture(), words, background=background)
                 for background in (None, dict(
                     words=words.background.words, threshold=0.1, id=0)))
    off = predictor.predict(picture(), words, background='none')
    assert (own.none_id, off.none_id) == (0, None)
    assert torch.equal(ids(own), ids(same)) and not torch.equal(ids(own), ids(off))


@pytest.mark.parametrize('options, match', [
    (dict(background=1.5), r'in \[0, 1\], got 1.5'),
    (dict(background='-0.1; sky'), r'in \[0, 1\], got -0.1'),
    (dict(background=[0.1, 0.2]), 'one threshold'),
    (dict(background=[WORDS[0].upper(), WORDS[1]]), 'also categories'),
    (dict(background=dict(threshold=0.1, id=5)), 'only 5 categories'),
    (dict(synonyms='first'), "'mean' or 'max'")])
def test_options_are_refused_at_once(predictor, options, match):
    with pytest.raises(ValueError, match=match):
        predictor.predict_stream(['gone.png'], **options)
    assert predictor.predict(picture()).none_id is None


def test_background_words_stay_categories_if_they_are(predictor):
    found, other = (predictor.predict(picture(), background=background)
                    for background in ([WORDS[0], 'sky'], ['sky']))
    assert agree(ids(found), ids(other))


def test_synonyms_of_a_call(predictor):
    words = ['red dots|scarlet spots', 'blue stripes']
    mean, largest = (predictor.predict(picture(), words, synonyms=synonyms,
                                       return_scores=True).word_scores
                     for synonyms in ('mean', 'max'))
    singles = [predictor.predict(picture(), [word, 'blue stripes'], return_scores=True
                                 ).word_scores.maps[0]
               for word in ('red dots', 'scarlet spots')]
    assert mean.names == largest.names == ['red dots', 'blue stripes']
    torch.testing.assert_close(largest.maps[1], mean.maps[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(largest.maps[0], torch.stack(singles).amax(0),
                               atol=1e-4, rtol=1e-4)
    assert not torch.allclose(largest.maps[0], mean.maps[0], atol=1e-4, rtol=1e-4)


def test_scores_of_a_call(predictor):
    found = predictor.predict(picture(), return_scores=True)
    scores = found.word_scores
    assert scores.names == [WORDS[i] for i in scores.ids]
    assert scores.ids.tolist() == found.selected_categories
    assert torch.equal(scores.scores, scores.maps.amax((1, 2)))
    assert agree(scores.ids[scores.maps.argmax(0)], ids(found))


def test_one_word_with_and_without_background(predictor):
    assert ids(predictor.predict(picture(), ['sky'])).unique().tolist() == [0]
    for background in (1.0, dict(threshold=1.0)):
        found = predictor.predict(picture(), ['sky'], background=background)
        assert found.none_id == 1 and ids(found).unique().tolist() == [1]
    both = ids(predictor.predict(picture(), ['red dots'], background=['blue stripes']))
    assert agree(both, ids(predictor.predict(picture(), ['red dots', 'blue stripes'])))


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
