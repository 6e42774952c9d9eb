"""Mirrored and shifted forms against a probe and against loops, in float64."""

import numpy as np
import pytest
import torch
from test_views import bilinear, starts
from toys import WORDS, toy_model, toy_samples

from mmseg_dcpclip.models import Pairs
from mmseg_dcpclip.models.segmentors import encoding
from mmseg_dcpclip.models.segmentors.encoding import encode_in_parts
from mmseg_dcpclip.models.segmentors.forms import PRESETS, Form, read_forms
from mmseg_dcpclip.models.segmentors.settings import PredictSettings
from mmseg_dcpclip.models.segmentors.views import make_views, merge_views

ALL = (Form(), Form(flip=True), Form(shift=0.5), Form(flip=True, shift=0.5))
SLIDE = dict(mode='slide', crop_size=(16, 24), stride=(9, 10))


def eighths(size):
    """A grid of patches of 8 pixels."""
    return tuple(max(1, round(n / 8)) for n in size)


@pytest.mark.parametrize('mode', [dict(), dict(SLIDE, global_view=False)])
@pytest.mark.parametrize('size', [(24, 32), (21, 43)])
def test_a_map_that_says_what_a_pixel_is_comes_back(mode, size):
    """Were a form put back one pixel off, its mean with the others would differ."""
    images = torch.rand(2, 3, *size, dtype=torch.float64).float()
    views = make_views(images, **mode, forms=ALL, grid_of=eighths)
    assert len(views.images) == 2 * views.per_image
    for image, seen in zip(images, views.images.unflatten(0, (2, -1))):
        torch.testing.assert_close(merge_views(seen, views, 'softmax'), image)


def test_a_form_is_moved_by_half_a_patch_and_mirrored():
    image = torch.rand(1, 3, 24, 40)
    seen = make_views(image, forms=ALL, grid_of=eighths).images
    assert torch.equal(seen[0], image[0]) and torch.equal(seen[1], image[0].flip(-1))
    assert torch.equal(seen[2][:, :20, :36], image[0, :, 4:, 4:])
    below = image[0, :, 19:23, 4:].flip(1)  # reflected
    assert torch.equal(seen[2][:, 20:, :36], below)
    assert torch.equal(seen[3], seen[2].flip(-1))


def slow_merge(logits, views, size, window, stride):
    """Means over all windows of all forms that see a pixel, half of the whole's."""
    def add(place, values, top, left):
        for i in range(values.shape[1]):
            for j in range(values.shape[2]):
                y, x = top + i, left + j
                if y < place[0].shape[1] and x < place[0].shape[2]:
                    place[0][:, y, x] += values[:, i, j]
                    place[1][y, x] += 1

    count = logits.shape[1]
    parts = np.zeros((count, *size)), np.zeros(size)
    whole = np.zeros((count, *window)), np.zeros(window)
    rest = iter(logits.double().numpy())
    for form in ALL:
        shift = round(8 * form.shift)
        corners = [(top, left) for top in starts(size[0], window[0], stride[0])
                   for left in starts(size[1], window[1], stride[1])]
        for place, top, left in [*((parts, *c) for c in corners), (whole, 0, 0)]:
            maps = 1 / (1 + np.exp(-bilinear(next(rest), *window)))
            add(place, maps[:, :, ::-1] if form.flip else maps, top + shift,
                left + shift)
    return (parts[0] / parts[1] + bilinear(whole[0] / whole[1], *size)) / 2


def test_windows_and_wholes_of_all_forms_are_averaged_where_they_lie():
    size = (21, 37)
    views = make_views(torch.rand(1, 3, *size), **SLIDE, forms=ALL, grid_of=eighths)
    logits = torch.randn(views.per_image, 2, 4, 6)
    expected = slow_merge(logits, views, size, (16, 24), (9, 10))
    np.testing.assert_allclose(merge_views(logits, views, 'sigmoid').numpy(), expected,
                               atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('tta', ['flip', 'shift', 'flip+shift'])
@pytest.mark.parametrize('shared', [True, False])
def test_forms_together_equal_one_picture_after_the_other(tta, shared):
    model = toy_model(seed=1, test_cfg=dict(mode='whole', tta=tta, share_words=shared,
                                            return_logits=True)).eval()
    data = model.data_preprocessor(toy_samples([(24, 32)] * 2))
    results = model.predict(**data)
    text = model.text_embeddings()
    for image, result in zip(data['inputs'], results):
        seen = image.clone()
        moved = 4 if 'shift' in tta else 0
        if moved:
            seen = torch.cat([seen, seen[:, -moved - 1:-1].flip(1)], 1)[:, moved:]
            seen = torch.cat([seen, seen[:, :, -moved - 1:-1].flip(2)], 2)[..., moved:]
        seen = seen.flip(2) if 'flip' in tta else seen
        kept = []
        for own in (image, seen):
            features = model.extract_feat(own[None])
            kept.append((features, model.select(features, text)[0]))
        union = kept[0][1] | kept[1][1]
        total = torch.zeros(len(WORDS), 24, 32)
        count = torch.ones(24, 32)
        count[moved:, moved:] += 1
        for i, (features, own) in enumerate(kept):
            pairs = Pairs.from_mask((union if shared else own)[None])
            maps = torch.nn.functional.interpolate(
                model.decode(features, text, pairs)[None], (24, 32), mode='bilinear',
                align_corners=False)[0].sigmoid()
            if i and 'flip' in tta:
                maps = maps.flip(2)
            start = moved * i
            total[pairs.category, start:, start:] += maps[:, :24 - start, :32 - start]
        assert result.selected_categories == union.nonzero()[:, 0].tolist()
        torch.testing.assert_close(result.seg_logits.data, (total / count)[union],
                                   atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_second_look_sees_the_picture_as_it_is():
    data = toy_samples([(24, 32)])
    seen = []
    for tta in ('none', 'flip+shift'):
        model = toy_model(test_cfg=dict(mode='whole', tta=tta, return_features=True,
                                        size=(32, 40))).eval()
        sample, = model.predict(**model.data_preprocessor(data))
        assert sample.pred_sem_seg.data.shape == (1, 24, 32)
        assert sample.encoder_input.data.shape == (3, 32, 40)
        seen.append(sample.patch_features.data)
    torch.testing.assert_close(*seen)


@torch.no_grad()
def test_pictures_are_resized_first_and_padding_is_cut_off():
    model = toy_model(test_cfg=dict(mode='whole', size=(32, 48))).eval()
    data = model.data_preprocessor(toy_samples([(24, 32)]))
    resized = torch.nn.functional.interpolate(data['inputs'], (32, 48), mode='bilinear',
                                              align_corners=False)
    ids = model.predict(**data)[0].pred_sem_seg.data
    model.test_cfg = dict(mode='whole')
    assert torch.equal(ids, model.predict(resized, data['data_samples'])[0]
                       .pred_sem_seg.data)
    padded = toy_samples([(24, 32)])
    padded['data_samples'][0].set_metainfo(dict(padding_size=[0, 8, 0, 4],
                                                ori_shape=(20, 24)))
    model.test_cfg = dict(mode='whole', size=(48, 64), tta='shift',
                          return_features=True)
    sample, = model.predict(**model.data_preprocessor(padded))
    assert sample.pred_sem_seg.data.shape == (1, 20, 24)
    assert sample.encoder_input.data.shape == (3, 40, 48)


@torch.no_grad()
@pytest.mark.parametrize('most', [1, 2 * 24 * 32, 99 * 24 * 32])
def test_images_encoded_in_parts_equal_all_together(monkeypatch, most):
    model = toy_model(decode_head=dict(
        type='CosineHead', activation='softmax'), neck=None).eval()
    images = torch.randn(5, 3, 24, 32)
    monkeypatch.setattr(encoding, 'MAX_PIXELS', most)
    together = model.backbone(images, with_attention=True)
    parts = encode_in_parts(lambda x: model.backbone(x, with_attention=True), images)
    assert parts.grid == together.grid and parts.mean_attention is None
    for name in ('cls', 'patch', 'attention'):
        torch.testing.assert_close(getattr(parts, name), getattr(together, name))
    torch.testing.assert_close(parts.shallow, together.shallow)


def test_forms_of_ones_own():
    own = [dict(), dict(shift=0.25), dict(flip=True, shift=0.75)]
    assert read_forms(own)[2] == Form(True, 0.75)
    assert all(forms[0] == Form() for forms in PRESETS.values())


@pytest.mark.parametrize('wrong, message', [
    (dict(tta='shft'), "no tta 'shft': choose none, flip, shift, flip\\+shift"),
    (dict(tta=[dict(shift=0.5)]), 'the picture as it is, as its first form'),
    (dict(tta=[]), 'first form'),
    (dict(tta=[dict(), dict(scale=2)]), "'scale'.*a form is dict"),
    (dict(tta=[dict(), dict(shift=1.0)]), 'less than 1 patch'),
    (dict(size=(0, 4)), 'size must be two whole numbers'),
    (dict(size=4), 'size must be two whole numbers')])
def test_bad_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PredictSettings.of(wrong)


def test_an_encoder_must_say_how_large_a_patch_is():
    with pytest.raises(ValueError, match="give it grid_of.*tta='flip'"):
        make_views(torch.rand(1, 3, 8, 8), forms=PRESETS['shift'])
