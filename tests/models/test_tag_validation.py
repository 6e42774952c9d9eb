import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample
from toys import toy_model

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.models import TagValidation, validate_tags
from mmseg_dcpclip.models.tag_validation import region_features


def plain_validation(seg_map, feats, text, seen, top_k, candidates):
    """Eq. 17 with loops; every pixel carries the feature of its cell."""
    size = {c: (seg_map == c).sum() for c in range(len(text))}
    rows, columns = feats.shape[1:]
    height, width = seg_map.shape
    result = seg_map.copy()
    for category in np.unique(seg_map):
        if seen[category]:
            continue
        total = np.zeros(len(feats))
        for y, x in zip(*np.nonzero(seg_map == category), strict=True):
            total += feats[:, y * rows // height, x * columns // width]
        scores = [total @ t / np.linalg.norm(total) / np.linalg.norm(t) for t in text]
        order = np.argsort(scores)[::-1]
        allowed = [c for c in order if candidates == 'all' or c == category or (
            size[c] > 0 if candidates == 'map' else size[c] > size[category])]
        if category not in order[:top_k]:
            result[seg_map == category] = allowed[0]
    return result


@pytest.mark.parametrize('candidates', ['all', 'map', 'larger'])
@pytest.mark.parametrize('top_k', [1, 2, 5])
def test_equals_the_plain_formula(top_k, candidates):
    rng = np.random.default_rng(1)
    seg_map = rng.integers(0, 9, (6, 7)).repeat(3, 0).repeat(2, 1)
    feats, text = rng.normal(size=(5, 4, 3)), rng.normal(size=(9, 5))
    seen = np.arange(9) % 3 == 0
    expected = plain_validation(seg_map, feats, text, seen, top_k, candidates)
    result = validate_tags(*map(torch.tensor, (seg_map, feats, text, seen)),
                           top_k=top_k, candidates=candidates)
    assert result.dtype == torch.int64
    assert np.array_equal(result.numpy(), expected)
    assert (expected != seg_map).any()


def test_seen_categories_are_never_touched():
    # The features say category 2 everywhere, the map says 0 (seen) and 1 (unseen).
    seg_map = torch.tensor([[0, 0, 1, 1]])
    feats = torch.tensor([0.0, 0.0, 1.0])[:, None, None].expand(3, 1, 4)
    seen = torch.tensor([True, False, False])
    result = validate_tags(seg_map, feats, torch.eye(3), seen, top_k=1)
    assert result.tolist() == [[0, 0, 2, 2]]
    assert seg_map.tolist() == [[0, 0, 1, 1]]  # the input stays


def test_ignored_pixels_stay():
    seg_map = torch.tensor([[255, 1]])
    feats = torch.tensor([1.0, 0.0])[:, None, None].expand(2, 1, 2)
    seen = torch.zeros(2, dtype=torch.bool)
    result = validate_tags(seg_map, feats, torch.eye(2), seen, top_k=1,
                           ignore_index=255)
    assert result.tolist() == [[255, 0]]


def test_region_smaller_than_a_cell_counts():
    seg_map = torch.zeros(8, 8, dtype=torch.long)
    seg_map[5, 6] = 3
    feats = torch.arange(4.0).view(1, 2, 2)
    pooled = region_features(seg_map, feats, torch.tensor([0, 3]))
    assert pooled[1].item() == 3.0
    assert pooled[0].item() == pytest.approx((16 * 0 + 16 * 1 + 16 * 2 + 15 * 3) / 63)


def test_bad_input():
    seg_map, feats = torch.tensor([[0, 7]]), torch.zeros(2, 1, 1)
    seen = torch.zeros(2, dtype=torch.bool)
    with pytest.raises(ValueError, match='7'):
        validate_tags(seg_map, feats, torch.eye(2), seen, top_k=1)
    with pytest.raises(ValueError, match='top_k'):
        validate_tags(seg_map, feats, torch.eye(2), seen, top_k=0)
    with pytest.raises(ValueError, match='top_k'):
        TagValidation(['cat'], top_k=0)


def test_seen_by_name():
    validation = TagValidation(['Cat', 'tree'], top_k=1)
    seg_map = torch.tensor([[0, 1]])
    feats = torch.tensor([0.0, 0.0, 1.0])[:, None, None].expand(3, 1, 2)
    result = validation(seg_map, feats, torch.eye(3), Vocabulary(['cat', 'dog', 'sky']))
    assert result.tolist() == [[0, 2]]


@torch.no_grad()
@pytest.mark.parametrize('test_cfg', [
    dict(mode='whole'), dict(mode='slide', crop_size=(24, 24), stride=(16, 16))])
def test_what_is_looked_at_again_lies_as_the_map_does(test_cfg):
    """Of the second of two pictures, under a flip."""
    told = []

    def record(seg_map, feats, text, vocabulary, encode):
        told.append((seg_map, feats, encode.args[0][0]))
        return seg_map

    record.region = 'cls'
    model = toy_model(seed=1, test_cfg=test_cfg).eval()
    model.tag_validation = record
    images = torch.randn(2, 3, 40, 40)
    metas = [dict(ori_shape=(40, 40))] * 2
    for flip in ({}, dict(flip=True, flip_direction='horizontal')):
        samples = [SegDataSample(metainfo={**meta, **flip}) for meta in metas]
        model.predict(images, samples)
    for plain, turned in zip(told[:2], told[2:], strict=True):
        for before, after in zip(plain, turned, strict=True):
            torch.testing.assert_close(after, before.flip(-1), atol=1e-4, rtol=1e-4)
    expected = images
    if test_cfg['mode'] == 'slide':
        expected = torch.nn.functional.interpolate(images, (24, 24), mode='bilinear')
    for (_, feats, picture), image in zip(told, expected, strict=False):
        torch.testing.assert_close(picture, image, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(feats, model.backbone(image[None]).patch_map[0],
                                   atol=1e-4, rtol=1e-4)
