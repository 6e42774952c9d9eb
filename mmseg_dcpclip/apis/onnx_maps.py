"""What a predictor without PyTorch does to pictures and maps, in numpy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ..windows import Box, window_boxes

MAX_VALUES = 2**26  # of maps at full size at once


def resize(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Bilinear resizing [..., h, w] as torch's without aligned corners, float32."""
    maps = maps.astype(np.float32, copy=False)
    for axis, out in zip((-2, -1), size):
        if maps.shape[axis] != out:
            maps = _along(maps, axis, out)
    return maps


def _along(maps: np.ndarray, axis: int, out: int) -> np.ndarray:
    length = maps.shape[axis]
    place = np.maximum((np.arange(out) + 0.5) * (length / out) - 0.5, 0)
    low = np.minimum(place.astype(np.int64), length - 1)
    high = np.minimum(low + 1, length - 1)
    share = (place - low).astype(np.float32)
    share = share[:, None] if axis == -2 else share
    first = maps.take(low, axis)
    return first + (maps.take(high, axis) - first) * share


def fit_picture(picture: np.ndarray, steps: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Bring a picture to the size at which the model sees it.

    Args:
        picture: RGB, uint8 [H, W, 3].
        steps: Of the test pipeline: mmseg's ``Resize``, ``LimitSize``.
    """
    for step in steps:
        height, width = picture.shape[:2]
        if step['type'] == 'LimitSize':
            most = step['max_side']
            if max(height, width) > most:
                new = [max(1, round(n * most / max(height, width)))
                       for n in (height, width)]
                picture = _resize_picture(picture, new, smooth=True)
            continue
        scale = step['scale']
        if step.get('keep_ratio'):
            sides = (max(height, width), min(height, width))
            factor = min(max(scale) / sides[0], min(scale) / sides[1])
            new = [int(n * float(factor) + 0.5) for n in (height, width)]
        else:
            new = [scale[1], scale[0]]
        picture = _resize_picture(picture, new, smooth=False)
    return picture


def _resize_picture(picture: np.ndarray, size: Sequence[int], smooth: bool
                    ) -> np.ndarray:
    """As the pipelines do it, with OpenCV; without it nearly so."""
    try:
        import cv2
    except ImportError:
        if smooth:
            return np.asarray(Image.fromarray(picture).resize(
                (size[1], size[0]), Image.Resampling.BOX))
        maps = resize(picture.transpose(2, 0, 1), size)
        return maps.round().astype(np.uint8).transpose(1, 2, 0)
    return cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA
                      if smooth else cv2.INTER_LINEAR)


@dataclass
class ViewsOf:
    """The views of one picture, see ``models/segmentors/views.py``.

    Attributes:
        pictures: What the graph gets, float32 [V, 3, h, w].
        windows: Places of the windows.
        size: Height and width of the picture.
        window: Height and width of a window before it is brought to whole patches.
        slide: Whether windows are averaged.
        with_whole: Whether the last view is the whole picture.
    """
    pictures: np.ndarray
    windows: list[Box]
    size: tuple[int, int]
    window: tuple[int, int]
    slide: bool
    with_whole: bool


def make_views(picture: np.ndarray, views: Mapping[str, Any], multiple: Any) -> ViewsOf:
    """Cut a normalised picture [3, H, W] into views.

    Args:
        picture: float32.
        views: ``mode``, ``crop_size``, ``stride`` and ``global_view``.
        multiple: What the graph wants height and width to be multiples of, or None.
    """
    height, width = picture.shape[1:]
    slide = views['mode'] == 'slide'
    boxes = (window_boxes((height, width), views['crop_size'], views['stride'])
             if slide else [(0, 0, height, width)])
    cut = [picture[:, top:bottom, left:right] for top, left, bottom, right in boxes]
    window = (cut[0].shape[1], cut[0].shape[2])
    with_whole = bool(slide and views['global_view'])
    if with_whole:
        cut.append(resize(picture, window))
    pictures = np.stack(cut)
    if multiple is not None:
        pictures = resize(pictures, [max(1, round(n / step)) * step
                                     for n, step in zip(window, multiple)])
    return ViewsOf(np.ascontiguousarray(pictures), boxes, (height, width), window,
                   slide, with_whole)


def merge_views(logits: np.ndarray, views: ViewsOf, activation: str) -> np.ndarray:
    """Maps [V, K, h, w] of all views as one [K, H, W], as the model merges them."""
    if not views.slide:
        return resize(logits[0], views.size)
    maps = np.zeros((logits.shape[1], *views.size), np.float32)
    overlap = np.zeros(views.size, np.float32)
    for window, (top, left, bottom, right) in zip(logits, views.windows):
        maps[:, top:bottom, left:right] += _scores(
            window, (bottom - top, right - left), activation)
        overlap[top:bottom, left:right] += 1
    maps /= overlap
    if views.with_whole:
        whole = _scores(logits[-1], views.window, activation)
        maps = (maps + resize(whole, views.size)) / 2
    return maps


def _scores(logits: np.ndarray, size: Sequence[int], activation: str) -> np.ndarray:
    maps = resize(logits, size)
    return sigmoid(maps) if activation == 'sigmoid' else maps


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), [...]."""
    return np.exp(-np.logaddexp(0, -x))


@dataclass
class Decided:
    """The best category of each pixel.

    Attributes:
        best: Places among the K maps, int64 [H, W].
        probability: Of these, float32 [H, W].
        maps: Probabilities of all, [K, H, W], or None.
    """
    best: np.ndarray
    probability: np.ndarray
    maps: np.ndarray | None = None


def decide(logits: np.ndarray, views: ViewsOf, size: Sequence[int], activation: str,
           keep_maps: bool, max_values: int = MAX_VALUES) -> Decided:
    """Merge views and take the best map of each pixel, some maps at a time.

    Args:
        logits: [V, K, h, w].
        views: The views.
        size: Height and width of the result.
        activation: ``'sigmoid'`` or ``'softmax'``.
        keep_maps: Whether all probabilities are wanted.
        max_values: Of maps at full size at once.
    """
    best = np.full(size, -np.inf, np.float32)
    place = np.zeros(size, np.int64)
    total = best.copy()
    kept = []
    for start, maps in _maps(logits, views, size, activation, max_values):
        score, index = maps.max(0), maps.argmax(0)
        better = score > best
        best, place = np.where(better, score, best), np.where(better, index + start,
                                                              place)
        if activation == 'softmax':
            total = np.logaddexp(total, np.logaddexp.reduce(maps, 0))
        if keep_maps:
            kept.append(maps)

    def probability(maps: np.ndarray) -> np.ndarray:
        if activation == 'softmax':
            return np.exp(maps - total)
        return maps if views.slide else sigmoid(maps)

    return Decided(place, probability(best),
                   probability(np.concatenate(kept)) if keep_maps else None)


def _maps(logits: np.ndarray, views: ViewsOf, size: Sequence[int], activation: str,
          max_values: int) -> Iterator[tuple[int, np.ndarray]]:
    most = max(1, max_values // (size[0] * size[1]))
    for start in range(0, logits.shape[1], most):
        merged = merge_views(logits[:, start:start + most], views, activation)
        yield start, resize(merged, size)
