"""Views of an image at test time, and maps of views put together again.

Whole mode has one view, the image. Slide mode has windows and, as CAT-Seg
(arXiv 2303.11797) does it, the whole image at the size of a window beside them: the
windows are averaged where they overlap, and the result half and half with the whole.
All views of an image have the same categories: what any of them selected, decoded in
each, or taken for absent where a view did not select it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...windows import Box, window_boxes
from ..structures import Pairs

Images = Tensor | Sequence[Tensor]
# What each of mmcv's directions turns of [K, h, w].
FLIPPED = dict(horizontal=(2, ), vertical=(1, ), diagonal=(1, 2))
ABSENT = -1e4  # a logit of probability 0, in any precision


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


@dataclass
class Views:
    """All views of a batch of images of one size.

    Attributes:
        images: [B * V, 3, h, w], the V views of the first image first.
        windows: Places of the windows; one, the whole image, outside slide mode.
        whole: The images themselves, [B, 3, H, W].
        slide: Whether windows are averaged.
        with_whole: Whether the last view of each image is the whole image.
    """
    images: Tensor
    windows: list[Box]
    whole: Tensor
    slide: bool
    with_whole: bool

    @property
    def per_image(self) -> int:
        """int: V."""
        return len(self.windows) + self.with_whole

    @property
    def size(self) -> tuple[int, int]:
        """tuple: Height and width of the images."""
        height, width = self.whole.shape[-2:]
        return height, width


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
    if mode == 'whole':
        return Views(images, [(0, 0, *images.shape[-2:])], images, False, False)
    boxes = window_boxes(images.shape[-2:], crop_size, stride)
    views = [images[..., t:b, x:r] for t, x, b, r in boxes]
    if global_view:
        views.append(resize(images, views[0].shape[-2:]))
    return Views(torch.stack(views, 1).flatten(0, 1), boxes, images, True,
                 global_view)


def shared_pairs(selected: Tensor, views: int) -> Pairs:
    """One selection per image: each of its views gets what any of them selected.

    Args:
        selected: By view, bool [B * V, C], the V views of the first image first.
        views: V.

    Returns:
        Pairs: ``image`` counts views.

    Raises:
        RuntimeError: Nothing was selected for an image.
    """
    if views > 1:
        shared = selected.unflatten(0, (-1, views)).any(1)
        selected = shared.repeat_interleave(views, 0)
    pairs = Pairs.from_mask(selected)
    if not all(pairs.counts):
        raise RuntimeError('no category was selected: the selection must keep at least '
                           'one per image')
    return pairs


def absent_elsewhere(logits: Tensor, selected: Tensor, shared: Pairs) -> Tensor:
    """Logits of the words of an image in all its views, from those of each view's own.

    Args:
        logits: Of what each view selected; those of ``shared`` stay, [M, h, w].
        selected: By view, bool [B * V, C].
        shared: What any view of an image selected, for all its views.

    Returns:
        Tensor: Logits of ``shared``, ``ABSENT`` for words that a view did not select.
    """
    if len(logits) == len(shared):
        return logits
    maps = logits.new_full((len(shared), *logits.shape[1:]), ABSENT)
    maps[selected[shared.image, shared.category]] = logits
    return maps


def merge_views(logits: Tensor, views: Views, activation: str) -> Tensor:
    """Maps of some categories of one image at its size.

    Windows are averaged where they overlap: as probabilities where each category
    stands for itself (sigmoid), as logits where categories compete (softmax), which
    for a cosine head is the average of cosines.

    Args:
        logits: Of K categories in the image's views, [V, K, h, w].
        views: The views.
        activation: The head's, see ``CategoryHead``.

    Returns:
        Tensor: float32 [K, H, W]; logits in whole mode and with softmax, otherwise
        probabilities.
    """
    if not views.slide:
        return resize(logits[0], views.size)
    scores = resize(logits, views.images.shape[-2:])
    if activation == 'sigmoid':
        scores = scores.sigmoid()
    maps = scores.new_zeros(scores.shape[1], *views.size)
    overlap = torch.zeros(views.size)
    for window, (top, left, bottom, right) in zip(scores, views.windows):
        maps[:, top:bottom, left:right] += window
        overlap[top:bottom, left:right] += 1
    maps /= overlap.to(maps.device)
    if views.with_whole:
        maps.add_(resize(scores[-1], views.size)).div_(2)
    return maps


def undo_augmentation(maps: Tensor, meta: Mapping, size: tuple[int, int]) -> Tensor:
    """Cut padding off maps [K, h, w] of an input of `size` and turn flips back."""
    left, right, top, bottom = meta.get('img_padding_size',
                                        meta.get('padding_size', (0, 0, 0, 0)))
    rows, columns = maps.shape[-2:]
    height, width = size
    maps = maps[:, round(top * rows / height):round((height - bottom) * rows / height),
                round(left * columns / width):round((width - right) * columns / width)]
    return maps.flip(FLIPPED[meta['flip_direction']]) if meta.get('flip') else maps
