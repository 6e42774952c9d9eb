"""Views of an image at test time, and maps of views put together again.

Whole mode has one view, the image. Slide mode has windows and, as CAT-Seg
(arXiv 2303.11797) does it, the whole image at the size of a window beside them: the
windows are averaged where they overlap, and the result half and half with the whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..structures import Pairs

Images = Tensor | Sequence[Tensor]
Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels


def group_by_size(images: Images) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the images of one size together: their indices and [B, 3, H, W]."""
    if isinstance(images, Tensor):
        yield list(range(len(images))), images
        return
    groups: dict[tuple, list[int]] = {}
    for i, image in enumerate(images):
        groups.setdefault(tuple(image.shape), []).append(i)
    for index in groups.values():
        yield index, torch.stack([images[i] for i in index])


def take(images: Images, index: Sequence[int]) -> Images:
    """Some of the images, or all of them as they are."""
    return images if len(index) == len(images) else [images[i] for i in index]


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resizing of [M, h, w] or [B, C, h, w] in float32."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps.float()
    batched = maps if maps.ndim == 4 else maps[:, None]
    return F.interpolate(batched.float(), tuple(size), mode='bilinear',
                         align_corners=False).view(*maps.shape[:-2], *size)


def window_boxes(size: Sequence[int], crop: Sequence[int], stride: Sequence[int]
                 ) -> list[Box]:
    """Places of sliding windows; the last ones are moved back inside the image.

    Args:
        size: Height and width of the image.
        crop: Height and width of a window; no more than the image's are used.
        stride: Steps down and right.

    Returns:
        list: Boxes, row by row.

    Raises:
        ValueError: A stride or window below one pixel.
    """
    if min(*crop, *stride) < 1:
        raise ValueError(f'crop_size {tuple(crop)} and stride {tuple(stride)} must be '
                         'positive')
    height, width = (min(c, n) for c, n in zip(crop, size))
    tops, lefts = ([min(i * s, n - c) for i in range(-(-(n - c) // s) + 1)]
                   for n, c, s in zip(size, (height, width), stride))
    return [(y, x, y + height, x + width) for y in tops for x in lefts]


@dataclass
class Views:
    """All views of a batch of images of one size.

    Attributes:
        images: [B * V, 3, h, w], the V views of the first image first.
        windows: Places of the windows; one, the whole image, outside slide mode.
        size: Height and width of the images.
        slide: Whether windows are averaged (as probabilities).
        with_whole: Whether the last view of each image is the whole image.
    """
    images: Tensor
    windows: list[Box]
    size: tuple[int, int]
    slide: bool
    with_whole: bool

    @property
    def per_image(self) -> int:
        """int: V."""
        return len(self.windows) + self.with_whole


def make_views(images: Tensor, mode: str = 'whole', crop_size: Sequence[int] = (),
               stride: Sequence[int] = (), global_view: bool = True) -> Views:
    """Cut images of one size into views.

    Args:
        images: [B, 3, H, W].
        mode: ``'whole'`` or ``'slide'``, checked by
            ``PredictSettings``.
        crop_size: Height and width of a window (slide).
        stride: Steps of the windows (slide).
        global_view: Add the whole image, resized to a window (slide).

    Returns:
        Views: One batch.
    """
    height, width = images.shape[-2:]
    size = (height, width)
    if mode == 'whole':
        return Views(images, [(0, 0, *size)], size, False, False)
    boxes = window_boxes(size, crop_size, stride)
    views = [images[..., t:b, x:r] for t, x, b, r in boxes]
    if global_view:
        views.append(resize(images, views[0].shape[-2:]))
    return Views(torch.stack(views, 1).flatten(0, 1), boxes, size, True, global_view)


def merge_views(logits: Tensor, pairs: Pairs, views: Views, image: int,
                categories: Tensor) -> Tensor:
    """Maps of some categories of one image at its size.

    A category that a view did not select has probability 0 there.

    Args:
        logits: Of all pairs of all views, [M, h, w].
        pairs: M pairs; ``pairs.image`` counts views.
        views: The views.
        image: Which image.
        categories: Sorted ids, [K].

    Returns:
        Tensor: float32 [K, H, W]; logits in whole mode, probabilities in slide mode.
    """
    first = image * views.per_image
    maps = logits.new_zeros(len(categories), *views.size, dtype=torch.float32)
    overlap = maps.new_zeros(views.size)
    for i in range(views.per_image):
        rows = (pairs.image == first + i) & torch.isin(pairs.category, categories)
        place = torch.searchsorted(categories, pairs.category[rows])
        if i == len(views.windows):  # the whole image beside its windows
            whole = resize(resize(logits[rows], views.images.shape[-2:]).sigmoid(),
                           views.size)
            maps = maps / overlap / 2
            maps.index_add_(0, place, whole / 2)
            return maps
        top, left, bottom, right = views.windows[i]
        scores = resize(logits[rows], (bottom - top, right - left))
        if not views.slide:
            maps[place] = scores
            return maps
        maps[place, top:bottom, left:right] += scores.sigmoid()
        overlap[top:bottom, left:right] += 1
    return maps / overlap


def undo_augmentation(maps: Tensor, meta: Mapping, size: tuple[int, int]) -> Tensor:
    """Cut padding off maps [K, h, w] of an input of `size` and turn flips back."""
    left, right, top, bottom = meta.get('img_padding_size',
                                        meta.get('padding_size', (0, 0, 0, 0)))
    rows, columns = maps.shape[-2:]
    height, width = size
    maps = maps[:, round(top * rows / height):round((height - bottom) * rows / height),
                round(left * columns / width):round((width - right) * columns / width)]
    if meta.get('flip'):
        maps = maps.flip(2 if meta.get('flip_direction') == 'horizontal' else 1)
    return maps
