"""What numpy does to pictures and maps, against torch, OpenCV and the model."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.transforms import Resize

from mmseg_dcpclip.apis import onnx_maps
from mmseg_dcpclip.datasets import LimitSize
from mmseg_dcpclip.models.segmentors import views as model_views
from mmseg_dcpclip.models.segmentors.label_map import make_label_map
from mmseg_dcpclip.models.structures import Pairs

SLIDE = dict(mode='slide', crop_size=(16, 16), stride=(8, 12), global_view=True)


@pytest.mark.parametrize('size', [(9, 7), (4, 20), (12, 5), (1, 1)])
def test_resize(size):
    maps = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
    wanted = F.interpolate(torch.from_numpy(maps)[None], size, mode='bilinear')[0]
    np.testing.assert_allclose(onnx_maps.resize(maps, size), wanted, atol=1e-5)


@pytest.mark.parametrize('steps', [
    [dict(type='Resize', scale=(64, 24), keep_ratio=True)],
    [dict(type='Resize', scale=(30, 20))], [dict(type='LimitSize', max_side=20)]])
@pytest.mark.parametrize('cv2', [True, False])
def test_fit_picture(steps, cv2, monkeypatch):
    picture = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    step, = steps
    kind = {k: v for k, v in step.items() if k != 'type'}
    transform = (Resize if step['type'] == 'Resize' else LimitSize)(**kind)
    wanted = transform(dict(img=picture, img_shape=picture.shape[:2]))['img']
    if not cv2:
        monkeypatch.setitem(__import__('sys').modules, 'cv2', None)
    found = onnx_maps.fit_picture(picture, steps)
    assert found.shape == wanted.shape
    if cv2:
        assert (found == wanted).all()
    else:
        assert np.abs(found.astype(int) - wanted).mean() < 12  # of noise of 255


@pytest.mark.parametrize('activation', ['sigmoid', 'softmax'])
@pytest.mark.parametrize('settings', [dict(mode='whole'), SLIDE,
                                      dict(SLIDE, global_view=False)],
                         ids=['whole', 'slide', 'windows'])
@pytest.mark.parametrize('max_values', [2**26, 800])
def test_decided_as_by_the_model(settings, activation, max_values):
    torch.manual_seed(0)
    picture = torch.randn(3, 20, 30)
    wanted_views = model_views.make_views(picture[None], **settings)
    own = dict(dict(crop_size=None, stride=None, global_view=None), **settings)
    views = onnx_maps.make_views(picture.numpy(), own, None)
    np.testing.assert_allclose(views.pictures, wanted_views.images, atol=1e-5)
    logits = torch.randn(wanted_views.per_image, 4, 5, 5)
    pairs = Pairs.from_mask(torch.ones(wanted_views.per_image, 4, dtype=torch.bool))
    wanted = make_label_map(logits.flatten(0, 1), pairs, wanted_views, 0,
                            dict(ori_shape=(26, 33)), activation=activation,
                            max_maps=32, keep_maps=True)
    found = onnx_maps.decide(logits.numpy(), views, (26, 33), activation, True,
                             max_values)
    assert (found.best == wanted.seg_map.numpy()).mean() > 0.99
    np.testing.assert_allclose(found.maps, wanted.maps, atol=1e-5)
    np.testing.assert_allclose(found.probability, wanted.maps.amax(0), atol=1e-5)


def test_whole_patches():
    """As the encoder rounds them: halves to the even number."""
    views = onnx_maps.make_views(np.zeros((3, 20, 27), np.float32),
                                 dict(mode='whole'), (8, 8))
    assert views.pictures.shape == (1, 3, 16, 24)
