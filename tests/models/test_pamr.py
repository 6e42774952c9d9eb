"""PAMR against loops over pixels and neighbours, in float64."""

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from toys import toy_model, toy_samples

from mmseg_dcpclip import Predictor
from mmseg_dcpclip.models.segmentors import pamr
from mmseg_dcpclip.models.segmentors.pamr import PAMR, local_affinity, refine_masks


def around(y: int, x: int, size, dilations, own: bool) -> list[tuple[int, int]]:
    """Neighbours of a pixel; those outside are moved to the border."""
    return [(min(max(y + d * i, 0), size[0] - 1), min(max(x + d * j, 0), size[1] - 1))
            for d in dilations for i in (-1, 0, 1) for j in (-1, 0, 1)
            if own or i or j]


def plain_pamr(image: np.ndarray, maps: np.ndarray, dilations, num_steps: int
               ) -> np.ndarray:
    """The formula for one image [3, H, W] and its maps [K, H, W]."""
    size = image.shape[1:]
    weights = {}
    for y in range(size[0]):
        for x in range(size[1]):
            pixel = image[:, y, x]
            near = np.array([image[:, i, j]
                             for i, j in around(y, x, size, dilations, True)])
            deviation = near.std(0, ddof=1)
            scores = np.array([
                -np.mean(np.abs(image[:, i, j] - pixel) / (0.1 * deviation + 1e-8))
                for i, j in around(y, x, size, dilations, False)])
            powers = np.exp(scores - scores.max())
            weights[y, x] = powers / powers.sum()
    for _ in range(num_steps):
        new = np.zeros_like(maps)
        for (y, x), weight in weights.items():
            for w, (i, j) in zip(weight, around(y, x, size, dilations, False)):
                new[:, y, x] += w * maps[:, i, j]
        maps = new
    return maps


@pytest.mark.parametrize('size, dilations, num_steps', [
    ((13, 18), (2, 4), 3), ((9, 5), (8, 16), 2), ((6, 7), (1, ), 1)])
def test_equals_the_plain_formula(size, dilations, num_steps):
    torch.manual_seed(0)
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    maps = torch.rand(2, 4, *size)
    found = PAMR(num_steps, dilations)(maps, images, size)
    for image, own, refined in zip(images, maps, found, strict=True):
        expected = plain_pamr(image.numpy(), own.double().numpy(), dilations, num_steps)
        np.testing.assert_allclose(refined.numpy(), expected, atol=1e-5)
    alone = PAMR(num_steps, dilations)(maps[1:], images[1:], size)
    torch.testing.assert_close(found[1:], alone)


def test_weights_are_those_of_any_brightness():
    image = torch.rand(1, 3, 20, 20)
    weights = local_affinity(image, (2, 4))
    assert weights.shape == (1, 16, 20, 20)
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 20, 20))
    torch.testing.assert_close(local_affinity(50 * image - 7, (2, 4)), weights,
                               atol=1e-4, rtol=1e-3)
    flat = local_affinity(torch.full((1, 3, 9, 9), 0.7), (2, 4))
    torch.testing.assert_close(flat, torch.full_like(flat, 1 / 16))


def test_a_border_of_the_picture_becomes_one_of_the_map():
    """A blob that hangs over an edge is cut at the edge."""
    image = torch.zeros(1, 3, 32, 32)
    image[..., 16:] = 1
    maps = torch.linspace(1, 0, 32).expand(1, 1, 32, 32) + 0.1 > 0.5  # 3 pixels over
    refined = refine_masks(maps.float(), local_affinity(image, (2, 4)), (2, 4), 10)
    assert (refined[..., 13:16] > refined[..., 16:19].flip(3) + 0.2).all()


def test_large_pictures_are_refined_at_a_bounded_size(monkeypatch):
    image, maps = torch.randn(1, 3, 40, 60), torch.rand(1, 2, 20, 30)
    sizes = []
    monkeypatch.setattr(pamr, 'local_affinity', lambda x, dilations: sizes.append(
        x.shape) or local_affinity(x, dilations))
    refine = PAMR(2, (2, 4), max_pixels=600)
    found = refine(maps, image, (400, 600))
    assert found.shape == (1, 2, 400, 600) and sizes == [(1, 3, 20, 30)]
    small = refine(maps, image, (20, 30))
    torch.testing.assert_close(found, torch.nn.functional.interpolate(
        small, (400, 600), mode='bilinear'))


@pytest.mark.parametrize('settings, message', [
    (dict(num_steps=0), 'num_steps'), (dict(dilations=()), 'dilations'),
    (dict(dilations=8), 'dilations'), (dict(dilations=(8, 0)), 'dilations'),
    (dict(max_pixels=0), 'max_pixels')])
def test_sizes_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        PAMR(**settings)


@torch.no_grad()
@pytest.mark.parametrize('test_cfg', [
    dict(mode='whole'), dict(mode='slide', crop_size=(24, 24), stride=(16, 16))])
def test_in_the_model_it_follows_the_upright_picture(test_cfg):
    """Padding is cut off and flips are undone for the picture, too; by hand."""
    test_cfg = test_cfg | dict(return_logits=True, max_maps=2)
    settings = dict(num_steps=2, dilations=(2, 4))
    model = toy_model(selection=dict(theta=0.0), test_cfg=test_cfg,
                      refinement=settings).eval()
    plain = toy_model(selection=dict(theta=0.0), test_cfg=test_cfg).eval()
    meta = dict(ori_shape=(30, 41), padding_size=(0, 8, 0, 8), flip=True,
                flip_direction='horizontal')
    results = []
    for one in (model, plain):
        data = one.data_preprocessor(toy_samples([(40, 48)]))
        data['data_samples'][0].set_metainfo(
            meta if one is model else dict(meta, ori_shape=(32, 40)))
        results.append(one.predict(**data)[0])
    image = data['inputs'][:, :, :32, :40].flip(3)
    maps = results[1].seg_logits.data
    whole = test_cfg['mode'] == 'whole'
    expected = PAMR(**settings)((maps.logit() if whole else maps)[None], image,
                                (30, 41))[0]
    expected = expected.sigmoid() if whole else expected
    torch.testing.assert_close(results[0].seg_logits.data, expected, atol=1e-4,
                               rtol=1e-3)
    agree = results[0].pred_sem_seg.data[0] == expected.argmax(0)
    assert agree.float().mean() > 0.99  # rounding may turn a tie


def test_masks_of_the_small_world_follow_their_pictures():
    """The shipped config has it; without it more pixels are wrong."""
    predictor = Predictor('dcpclip_mini')
    model = predictor.model
    loader = Runner.build_dataloader(predictor.config.test_dataloader)
    right = []
    for refinement in (model.refinement, None):
        model.refinement = refinement
        for picture in (loader.dataset[i] for i in range(6)):
            label = picture['data_samples'].gt_sem_seg.data.clone()
            with torch.no_grad():
                sample, = model.test_step(dict(inputs=[picture['inputs']],
                                               data_samples=[picture['data_samples']]))
            right.append((sample.pred_sem_seg.data == label).float().mean())
    refined, plain = torch.stack(right).view(2, -1)
    assert (refined > plain).all() and (refined - plain).mean() > 0.01
