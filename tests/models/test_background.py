"""A none class, synonyms and word scores against all words computed plainly."""

import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample
from toys import MINI, WORDS, toy_forms, toy_model, toy_samples

from mmseg_dcpclip.apis import category_name, draw_overlay
from mmseg_dcpclip.evaluation import OVIoUMetric
from mmseg_dcpclip.models import OVSegTTAModel, validate_tags
from mmseg_dcpclip.vocabulary import Vocabulary

SYNONYMS = ['red dots|scarlet spots', 'blue stripes', 'green grid|lattice|mesh']
SIZES = [(32, 40), (24, 32), (32, 40)]


def frozen_model(activation='softmax', **changes):
    """All words selected, logits are scaled cosines."""
    changes = dict(
        backbone=dict(type='CLIPVisionBackbone', out_indices=(), trainable='none',
                      **MINI),
        neck=None, selection=dict(theta=0.0), vocabulary=SYNONYMS,
        decode_head=dict(type='CosineHead', scale=40.0, bias=0.0,
                         activation=activation, trainable=False)) | changes
    return toy_model(**changes).eval()


@torch.no_grad()
def predict(model, sizes=SIZES, **test_cfg):
    model.test_cfg = dict(mode='whole', **test_cfg)
    return model.test_step(toy_samples(sizes))


@torch.no_grad()
def plain(model, queries, owners, threshold=None, none_id=None):
    """Label maps and maps of owners, with all queries at full size at once."""
    results = []
    for index, size in enumerate(SIZES):
        model.set_vocabulary(Vocabulary(queries))
        model.test_cfg = dict(mode='whole', return_logits=True)
        data = toy_samples(SIZES)
        one = {k: v[index:index + 1] for k, v in data.items()}
        data = model.data_preprocessor(one, False)
        logits, _, _ = model.encode_decode(data['inputs'])
        maps = torch.nn.functional.interpolate(
            logits[None].double(), data['inputs'].shape[-2:], mode='bilinear')
        maps = maps[0, :, :size[0], :size[1]]
        soft = model.decode_head.activation == 'softmax'
        maps = maps.softmax(0) if soft else maps.sigmoid()
        full = {i: maps[[k for k, o in enumerate(owners) if o == i]].amax(0)
                for i in sorted(set(owners))}
        ids = torch.tensor(list(full))
        stacked = torch.stack(list(full.values()))
        best, place = stacked.max(0)
        seg = ids[place]
        if threshold is not None:
            seg[best < threshold] = none_id
        results.append((seg, ids, stacked))
    return results


def agree(samples, expected):
    for sample, (seg, ids, maps) in zip(samples, expected, strict=True):
        same = (sample.pred_sem_seg.data[0] == seg).float().mean()
        assert same > 0.995  # rounding may turn a tie
        assert sample.selected_categories == ids.tolist()
        torch.testing.assert_close(sample.seg_logits.data, maps.float(), atol=1e-3,
                                   rtol=1e-3)


@pytest.mark.parametrize('activation', ['softmax', 'sigmoid'])
@pytest.mark.parametrize('max_maps', [1, 32])
def test_synonyms_background_and_threshold(activation, max_maps):
    model = frozen_model(activation)
    every = predict(model, synonyms='max', return_logits=True)
    threshold = float(torch.cat([s.seg_logits.data.amax(0).flatten()
                                 for s in every]).median())
    found = predict(model, synonyms='max', return_logits=True, max_maps=max_maps,
                    background=dict(words=['sky', 'wall'], threshold=threshold))
    assert {s.none_id for s in found} == {3}
    queries = ['red dots', 'scarlet spots', 'blue stripes', 'green grid', 'lattice',
               'mesh', 'sky', 'wall']
    agree(found, plain(model, queries, [0, 0, 1, 2, 2, 2, 3, 3], threshold, 3))
    shares = torch.cat([s.pred_sem_seg.data.flatten() for s in found])
    assert 0 < (shares == 3).sum() < len(shares)


def test_mean_and_max_differ_and_mean_is_as_before():
    model = frozen_model()
    before = predict(model, return_logits=True)
    mean = predict(model, return_logits=True, synonyms='mean')
    largest = predict(model, return_logits=True, synonyms='max')
    for old, new, other in zip(before, mean, largest):
        assert old.none_id is None
        assert torch.equal(old.seg_logits.data, new.seg_logits.data)
        assert torch.equal(old.pred_sem_seg.data, new.pred_sem_seg.data)
        assert not torch.allclose(old.seg_logits.data, other.seg_logits.data)
        assert 'word_scores' not in old


def test_a_batch_is_one_by_one():
    model = frozen_model()
    options = dict(synonyms='max', background=[0.4, 'sky'], return_scores=True)
    together = predict(model, **options)
    data = toy_samples(SIZES)
    for i, sample in enumerate(together):
        with torch.no_grad():
            alone, = model.test_step({k: v[i:i + 1] for k, v in data.items()})
        same = alone.pred_sem_seg.data == sample.pred_sem_seg.data
        assert same.float().mean() > 0.995
        torch.testing.assert_close(alone.word_scores.maps, sample.word_scores.maps,
                                   atol=1e-4, rtol=1e-4)


def test_one_word():
    model = frozen_model('sigmoid', vocabulary=['red dots'])
    for sample in predict(model):
        assert sample.pred_sem_seg.data.unique().tolist() == [0]
    for sample in predict(model, background=1.0):  # no probability reaches 1
        assert sample.pred_sem_seg.data.unique().tolist() == [1]
    for sample in predict(model, background=dict(threshold=1.0, id='ignore')):
        assert sample.pred_sem_seg.data.unique().tolist() == [255]
    for sample in predict(model, background=0):
        assert sample.pred_sem_seg.data.unique().tolist() == [0]


def test_word_scores():
    model = frozen_model()
    for (height, width), sample in zip(SIZES, predict(
            model, return_scores=True, background=['sky'])):
        scores = sample.word_scores
        assert list(scores.names) == ['red dots', 'blue stripes', 'green grid']
        assert scores.ids.tolist() == [0, 1, 2]
        assert scores.maps.shape == (3, height, width)
        assert torch.equal(scores.scores, scores.maps.flatten(1).amax(1))
        assert 'seg_logits' not in sample


def test_a_category_as_the_none_class():
    model = frozen_model()
    for sample in predict(model, background=dict(threshold=1.0, id=0)):
        assert sample.pred_sem_seg.data.unique().tolist() == [0]


def test_validation_leaves_the_none_class_alone():
    model = frozen_model(tag_validation=dict(seen=[], top_k=1))
    for sample in predict(model, background=1.0):
        assert sample.pred_sem_seg.data.unique().tolist() == [3]
    text = torch.eye(3)
    feats = torch.tensor([[1., 1.], [.5, .5], [0., 0.]])[:, None]  # most like 0
    seg_map = torch.tensor([[2, 2, 2, 2]])
    seen = torch.zeros(3, dtype=torch.bool)
    assert validate_tags(seg_map, feats, text, seen, top_k=1).unique().tolist() == [0]
    renamed = validate_tags(seg_map, feats, text, seen, top_k=1, ignore_index=0)
    assert renamed.unique().tolist() == [1]


@torch.no_grad()
def test_smaller_maps_are_pixels_of_the_whole_ones():
    model = frozen_model().eval()
    images = torch.randn(1, 3, 32, 48)
    model.test_cfg = dict(mode='whole', return_scores=True)
    whole, = model.predict(images)
    model.test_cfg = dict(mode='whole', return_scores=True, maps_side=40)
    small, = model.predict(images)
    columns = torch.arange(40) * 48 // 40
    assert torch.equal(small.word_scores.maps, whole.word_scores.maps[..., columns])
    assert torch.equal(small.pred_sem_seg.data, whole.pred_sem_seg.data)


@torch.no_grad()
def test_forms_are_merged_before_the_threshold():
    model = frozen_model(test_cfg=dict(background=1.0, return_scores=True))
    result, = OVSegTTAModel(model).eval().test_step(toy_forms())
    assert result.pred_sem_seg.data.unique().tolist() == [3]
    maps = result.word_scores.maps
    threshold = float(maps.amax(0).median())
    model.test_cfg = dict(model.test_cfg, background=threshold)
    result, = OVSegTTAModel(model).eval().test_step(toy_forms())
    expected = maps.argmax(0).masked_fill(maps.amax(0) < threshold, 3)
    assert (result.pred_sem_seg.data[0] == expected).float().mean() > 0.995


@torch.no_grad()
def test_forms_have_the_background_of_their_words():
    """A batch of two pictures with other words and rules, each merged by its own."""
    sets = [Vocabulary(SYNONYMS, background=1.0),
            Vocabulary(['red dots', 'sky'], background=dict(threshold=1.0, id=1)),
            Vocabulary(SYNONYMS[:2])]
    data = dict(inputs=[], data_samples=[])
    for form, sample in zip(*toy_forms().values()):
        data['inputs'].append(form * 3)
        data['data_samples'].append([sample[0].clone() for _ in sets])
        for one, words in zip(data['data_samples'][-1], sets):
            one.set_metainfo(dict(vocabulary_digest=words.digest))
    first, second, third = OVSegTTAModel(frozen_model()).eval().test_step(data)
    assert [s.none_id for s in (first, second, third)] == [3, 1, None]
    assert first.pred_sem_seg.data.unique().tolist() == [3]
    assert second.pred_sem_seg.data.unique().tolist() == [1]
    assert third.pred_sem_seg.data.max() < 2


def test_words_of_a_tower_in_training_are_sampled():
    model = toy_model(text_encoder=dict(
        type='CLIPTextEncoder', templates=['{}', 'some {}'], trainable='all', **MINI))
    model.text_bank.get = None  # not asked
    model.train()
    with torch.no_grad():
        model.predict(torch.rand(1, 3, 32, 32), [SegDataSample()])


def test_metric(tmp_path):
    model = frozen_model()
    samples = predict(model, background=dict(words=['sky'], threshold=0.4))
    metric = OVIoUMetric(seen=None)
    metric.dataset_meta = dict(classes=model.vocabulary.names)
    for sample in samples:
        sample.gt_sem_seg.data %= 3
    metric.process({}, [s.to_dict() for s in samples])
    scores = metric.compute_metrics(metric.results)
    right = sum(int((s.pred_sem_seg.data == s.gt_sem_seg.data).sum()) for s in samples)
    total = sum(s.gt_sem_seg.data.numel() for s in samples)
    assert scores['aAcc'] == round(100 * right / total, 2)
    assert scores['selection_count'] == 3


def test_drawing():
    picture = np.random.default_rng(0).integers(0, 256, (320, 40, 3), dtype=np.uint8)
    seg_map = np.full((320, 40), 5)
    words = Vocabulary(WORDS)
    drawn = np.array(draw_overlay(picture, seg_map, words, none_id=5))
    assert (drawn[:, :40] == drawn[:, 40:80]).all()
    assert category_name(5, words) == 'none' and category_name(0, words) == WORDS[0]
    with pytest.raises(ValueError, match='not in the vocabulary'):
        draw_overlay(picture, seg_map, words)
