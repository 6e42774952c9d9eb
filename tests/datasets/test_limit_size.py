import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from mmseg_dcpclip.datasets import LimitSize


def limited(size, max_side=40, **more):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    return image, LimitSize(max_side)(dict(
        img=image, img_shape=size, ori_shape=size, **more))


@pytest.mark.parametrize('size, expected', [
    ((100, 80), (40, 32)), ((80, 100), (32, 40)), ((41, 41), (40, 40)),
    ((1, 4000), (1, 40)), ((4000, 3), (40, 1))])
def test_large_pictures_are_reduced(size, expected):
    _, results = limited(size)
    assert results['img'].shape[:2] == results['img_shape'] == expected
    assert results['ori_shape'] == size


@pytest.mark.parametrize('size', [(40, 40), (1, 1), (40, 3)])
def test_others_stay_as_they_are(size):
    image, results = limited(size)
    assert results['img'] is image and 'scale' not in results


def test_means_of_areas_and_nearest_labels():
    image, results = limited((80, 80), gt_seg_map=np.kron(
        np.arange(4).reshape(2, 2), np.ones((40, 40))).astype(np.int32),
        seg_fields=['gt_seg_map'])
    means = image.reshape(40, 2, 40, 2, 3).mean((1, 3))
    assert abs(results['img'] - means).max() <= 1
    expected = np.kron(np.arange(4).reshape(2, 2), np.ones((20, 20)))
    np.testing.assert_array_equal(results['gt_seg_map'], expected)


def test_it_is_said_once(monkeypatch):
    said = []
    monkeypatch.setattr('mmseg_dcpclip.datasets.limit_size.print_log',
                        lambda text, *_: said.append(text))
    limit = TRANSFORMS.build(dict(type='LimitSize', max_side=40))
    for name in ('a.jpg', 'b.jpg'):
        limit(dict(img=np.zeros((100, 80, 3), np.uint8), img_path=name))
    assert len(said) == 1
    assert 'a.jpg of 100 x 80 pixels is reduced to 40 x 32' in said[0]


def test_a_bound_of_nothing_is_refused():
    with pytest.raises(ValueError, match='max_side must be 1 pixel or more, got 0'):
        LimitSize(0)
