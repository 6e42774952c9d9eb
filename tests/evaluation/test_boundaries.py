import math

import cv2
import numpy as np
import pytest
import torch
from test_ov_iou_metric import evaluate, sample

from mmseg_dcpclip.evaluation import OVIoUMetric
from mmseg_dcpclip.evaluation.boundaries import (
    ask_for_boundaries,
    count_boundary_pixels,
    inner_boundary,
)


def blobs(seed, shape=(40, 52), num_classes=6):
    """Label maps of a few regions, some of them a pixel wide."""
    rng = np.random.default_rng(seed)
    seg_map = np.zeros(shape, np.int64)
    for i in range(1, num_classes):
        y, x = rng.integers(0, shape[0] - 3), rng.integers(0, shape[1] - 3)
        seg_map[y:y + rng.integers(1, 18), x:x + rng.integers(1, 18)] = i
    return torch.from_numpy(seg_map)


def eroded_boundary(mask, width):
    """Of one mask, by eroding it where beyond the image nothing is."""
    mask = np.pad(mask.numpy().astype(np.uint8), 1)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=width)
    return torch.from_numpy((mask - inner)[1:-1, 1:-1]).bool()


@pytest.mark.parametrize('width', [1, 2, 5])
def test_boundary_is_what_erosion_takes_away(width):
    for seed in range(5):
        seg_map = blobs(seed)
        boundary = inner_boundary(seg_map, width)
        for i in seg_map.unique():
            mask = seg_map == i
            assert torch.equal(boundary & mask, eroded_boundary(mask, width)), i


def test_counts_equal_masks_one_by_one():
    pred, label = blobs(0), blobs(1)
    pred[5:15, 5:15] = blobs(1)[5:15, 5:15]
    label[30:, :9] = 255
    pred[0, :4] = -1
    counts = count_boundary_pixels(pred, label, 6, 255, 0.03)
    width = round(0.03 * math.hypot(40, 52))
    for i in range(6):
        found = eroded_boundary(pred == i, width) & (label != 255)
        truth = eroded_boundary(label == i, width)
        expected = [int(x.sum()) for x in (found & truth, found, truth)]
        assert counts[:, i].tolist() == expected


def test_metric_scores_it_beside_the_selection():
    label = blobs(3)
    shifted = label.roll(1, 1)
    samples = [sample(pred, label, selected_categories=[0, 1, 2])
               for pred in (label, shifted)]
    names = tuple('abcdef')
    plain = evaluate(OVIoUMetric(seen=None), names, samples)
    result = evaluate(OVIoUMetric(seen=None, boundary=0.02), names, samples)
    assert plain == {k: v for k, v in result.items() if k != 'boundary_mIoU'}
    assert 0 < result['boundary_mIoU'] < result['mIoU'] < 100
    right = evaluate(OVIoUMetric(seen=None, boundary=0.02), names, samples[:1])
    assert right['boundary_mIoU'] == 100


def test_a_width_that_is_none_is_refused():
    with pytest.raises(ValueError, match='boundary must be positive or None, got 0'):
        OVIoUMetric(boundary=0)


def test_an_evaluator_is_asked_for_them():
    evaluator = [dict(type='IoUMetric'), dict(type='OVIoUMetric')]
    ask_for_boundaries(evaluator, 0.01)
    assert evaluator == [dict(type='IoUMetric'),
                         dict(type='OVIoUMetric', boundary=0.01)]
    with pytest.raises(ValueError, match='the evaluator is IoUMetric'):
        ask_for_boundaries(dict(type='IoUMetric'), 0.01)
