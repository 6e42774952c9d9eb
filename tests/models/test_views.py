"""Windows against slow loops over windows and pixels, in float64."""

import numpy as np
import pytest
import torch
from mmcv import imflip
from toys import WORDS, toy_model, toy_samples

from mmseg_dcpclip.models.segmentors.views import undo_augmentation

COSINES = dict(neck=None, decode_head=dict(
    type='CosineHead', scale=40., bias=0., activation='softmax', trainable=False))


def bilinear(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """[K, h, w] to [K, height, width], pixel by pixel; corners are not aligned."""
    rows, columns = maps.shape[1:]
    out = np.zeros((len(maps), height, width))
    for i in range(height):
        y = max((i + 0.5) * rows / height - 0.5, 0)
        top, low = int(y), min(int(y) + 1, rows - 1)
        for j in range(width):
            x = max((j + 0.5) * columns / width - 0.5, 0)
            left, right = int(x), min(int(x) + 1, columns - 1)
            a, b = y - top, x - left
            out[:, i, j] = (
                (1 - a) * ((1 - b) * maps[:, top, left] + b * maps[:, top, right])
                + a * ((1 - b) * maps[:, low, left] + b * maps[:, low, right]))
    return out


def starts(length: int, window: int, stride: int) -> list[int]:
    """First pixels of windows; the last one ends with the picture."""
    found = list(range(0, max(length - window, 0), stride))
    return [*found, max(length - window, 0)]


def cosine_maps(model, image: torch.Tensor) -> np.ndarray:
    """Cosines of all words on the patches of an image, [C, h, w]."""
    features = model.extract_feat(image[None])
    patch = features.patch[0].double().numpy()
    text = model.text_embeddings().mean.double().numpy()
    cosines = np.array([[w @ p / np.linalg.norm(w) / np.linalg.norm(p) for p in patch]
                        for w in text])
    return cosines.reshape(len(text), *features.grid)


def slow_average(model, image: torch.Tensor, window: int, stride: int,
                 with_whole: bool) -> np.ndarray:
    """Cosines averaged over windows, [C, H, W], and half and half with the whole."""
    height, width = image.shape[1:]
    total, count = np.zeros((len(WORDS), height, width)), np.zeros((height, width))
    down, across = min(window, height), min(window, width)
    for top in starts(height, window, stride):
        for left in starts(width, window, stride):
            rows, columns = slice(top, top + down), slice(left, left + across)
            cosines = cosine_maps(model, image[:, rows, columns])
            total[:, rows, columns] += bilinear(cosines, down, across)
            count[rows, columns] += 1
    merged = total / count
    if with_whole:
        small = torch.tensor(bilinear(image.double().numpy(), down, across)).float()
        whole = bilinear(cosine_maps(model, small), down, across)
        merged = (merged + bilinear(whole, height, width)) / 2
    return merged


@torch.no_grad()
@pytest.mark.parametrize('size, window, stride, with_whole', [
    ((37, 45), 24, 11, False), ((37, 45), 24, 11, True), ((21, 40), 24, 16, False),
    ((19, 23), 64, 32, False), ((24, 24), 24, 24, True)])
def test_cosines_are_averaged_and_softmaxed_at_full_size(size, window, stride,
                                                         with_whole):
    """Odd sizes, windows higher or larger than the picture, a single window."""
    model = toy_model(selection=dict(theta=0.0), **COSINES, test_cfg=dict(
        mode='slide', crop_size=(window, window), stride=(stride, stride),
        global_view=with_whole, return_logits=True, max_maps=2)).eval()
    data = model.data_preprocessor(toy_samples([size]))
    data['data_samples'][0].set_metainfo(dict(ori_shape=(33, 50)))
    merged = slow_average(model, data['inputs'][0], window, stride, with_whole)
    cosines = bilinear(merged, 33, 50)
    powers = np.exp(40 * cosines)
    sample = model.predict(**data)[0]
    np.testing.assert_allclose(sample.seg_logits.data.numpy(), powers / powers.sum(0),
                               atol=1e-4)
    first, second = np.sort(40 * cosines, 0)[:-3:-1]
    clear = first - second > 1e-3  # rounding may turn a tie
    assert clear.mean() > 0.9
    found = sample.pred_sem_seg.data[0].numpy()
    assert (found == cosines.argmax(0))[clear].all()


@torch.no_grad()
def test_one_window_is_the_whole_picture():
    """A window larger than the picture changes nothing."""
    model = toy_model(**COSINES, test_cfg=dict(mode='whole', return_logits=True)).eval()
    data = model.data_preprocessor(toy_samples([(19, 23)]))
    whole = model.predict(**data)[0]
    maps, classes = whole.seg_logits.data, whole.selected_categories
    model.test_cfg = dict(mode='slide', crop_size=(64, 64), stride=(32, 32),
                          global_view=False, return_logits=True)
    slide = model.predict(**data)[0]
    assert slide.selected_categories == classes
    torch.testing.assert_close(slide.seg_logits.data, maps)


@torch.no_grad()
@pytest.mark.parametrize('head', [{}, COSINES], ids=['sigmoid', 'softmax'])
def test_a_word_that_one_window_selects_counts_in_all(monkeypatch, head):
    """What is selected elsewhere is decoded here too, not taken for absent."""
    def result(select):
        model = toy_model(**head, test_cfg=dict(
            mode='slide', crop_size=(24, 24), stride=(16, 16), return_logits=True)
            ).eval()
        monkeypatch.setattr(model, 'select', select)
        return model.predict(**model.data_preprocessor(toy_samples([(40, 40)] * 2)))

    mask = torch.zeros(10, len(WORDS), dtype=torch.bool)
    mask[0, 0] = mask[3, 2] = True  # two windows of the first image
    mask[9, 4] = True  # the second image as a whole
    mask[5, 1] = True
    some = result(lambda *_: mask)
    assert [s.selected_categories for s in some] == [[0, 2], [1, 4]]
    everywhere = torch.zeros_like(mask)
    everywhere[:5, [0, 2]] = everywhere[5:, [1, 4]] = True
    for one, other in zip(some, result(lambda *_: everywhere), strict=True):
        torch.testing.assert_close(one.seg_logits.data, other.seg_logits.data)


@torch.no_grad()
def test_no_map_of_all_categories_at_image_size_with_windows():
    model = toy_model(vocabulary=[f'thing {i}' for i in range(400)],
                      selection=dict(theta=0.9), **COSINES, test_cfg=dict(
                          mode='slide', crop_size=(48, 48), stride=(24, 24),
                          global_view=False, max_maps=8)).eval()
    data = model.data_preprocessor(toy_samples([(96, 120)]))
    model.text_embeddings()
    with torch.profiler.profile(profile_memory=True) as profile:
        model.predict(**data)
    largest = max((event.cpu_memory_usage for event in profile.events()), default=0)
    assert 0 < largest < 400 * 96 * 120 * 4 / 4


@torch.no_grad()
def test_a_selection_of_nothing_is_an_error(monkeypatch):
    model = toy_model().eval()
    monkeypatch.setattr(model, 'select', lambda *_: torch.zeros(1, 5).bool())
    with pytest.raises(RuntimeError, match='no category was selected'):
        model.predict(torch.randn(1, 3, 16, 16))


def test_other_activations_are_refused():
    with pytest.raises(ValueError, match="activation must be 'sigmoid' or 'softmax'"):
        toy_model(decode_head=dict(type='CosineHead', activation='sigmoids'), neck=None)


@pytest.mark.parametrize('cell', [1, 2])
@pytest.mark.parametrize('direction', [None, 'horizontal', 'vertical', 'diagonal'])
def test_padding_of_four_sides_and_flips_are_undone(direction, cell):
    """A picture is flipped, then padded; maps may be smaller than the input."""
    maps = np.random.default_rng(0).normal(size=(6, 10, 3))
    flipped = maps if direction is None else imflip(maps, direction)
    padded = np.pad(flipped, ((3, 4), (1, 2), (0, 0)))  # top, bottom, left, right
    meta = dict(padding_size=[n * cell for n in (1, 2, 3, 4)],
                flip=direction is not None, flip_direction=direction)
    rows, columns = padded.shape[:2]
    found = undo_augmentation(torch.from_numpy(padded).permute(2, 0, 1), meta,
                              (rows * cell, columns * cell))
    assert np.array_equal(found.permute(1, 2, 0).numpy(), maps)
