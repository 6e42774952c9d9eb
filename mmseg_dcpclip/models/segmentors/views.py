"""Views of an image at test time, and maps of views put together again.

Whole mode has one view, the image. Slide mode has windows and, as CAT-Seg
(arXiv 2303.11797) does it, the whole image at the size of a window beside them: the
windows are averaged where they overlap, and the result half and half with the whole.
Further forms of the image (``forms.py``) have the same views once more. All views of an
image have the same categories: what any of them selected, decoded in each, or taken for
absent where a view did not select it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...windows import Box, window_boxes
from ..resizing import resize
from ..structures import Pairs
from .forms import AS_IT_IS, Form, place_of, shift_pictures

GridOf = Callable[[Sequence[int]], Sequence[int]]
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


@dataclass
class Views:
    """All views of a batch of images of one size.

    Attributes:
        images: [B * V, 3, h, w], the V views of the first image first: of each form
            its windows, then the whole image.
        windows: Places of the windows; one, the whole image, outside slide mode.
        whole: The images, at the size that is cut into windows, [B, 3, H, W].
        slide: Whether windows are averaged.
        with_whole: Whether the last view of each form is the whole image.
        input_size: Height and width of the network's inputs.
        forms: How each image is shown.
        shifts: Pixels down and right by which each form is moved up and left.
    """
    images: Tensor
    windows: list[Box]
    whole: Tensor
    slide: bool
    with_whole: bool
    input_size: tuple[int, int]
    forms: tuple[Form, ...] = AS_IT_IS
    shifts: Sequence[tuple[int, int]] = ((0, 0), )

    @property
    def per_form(self) -> int:
        """int: Views of one form."""
        return len(self.windows) + self.with_whole

    @property
    def per_image(self) -> int:
        """int: V."""
        return self.per_form * len(self.forms)

    @property
    def averaged(self) -> bool:
        """bool: Whether maps of several views are averaged."""
        return self.slide or len(self.forms) > 1

    @property
    def size(self) -> tuple[int, int]:
        """tuple: Height and width of the images."""
        height, width = self.whole.shape[-2:]
        return height, width

    def whole_view(self, image: int) -> int:
        """The view that shows an image as a whole and as it is; the last window where
        none does."""
        return image * self.per_image + self.per_form - 1


def make_views(images: Tensor, mode: str = 'whole', crop_size: Sequence[int] = (),
               stride: Sequence[int] = (), global_view: bool = True,
               size: Sequence[int] | None = None, forms: tuple[Form, ...] = AS_IT_IS,
               grid_of: GridOf | None = None) -> Views:
    """Cut images of one size into views.

    Args:
        images: [B, 3, H, W].
        mode: ``'whole'`` or ``'slide'``, checked by
            ``PredictSettings``.
        crop_size: Height and width of a window (slide).
        stride: Steps of the windows (slide).
        global_view: Add the whole image, resized to a window (slide).
        size: Height and width to which the images are resized first.
        forms: How each image is shown.
        grid_of: Rows and columns of patches of a view by its size, for shifted forms.

    Returns:
        Views: One batch.

    Raises:
        ValueError: A form is shifted and nothing tells the size of a patch.
    """
    height, width = images.shape[-2:]
    whole = images if size is None else resize(images, size)
    slide = mode == 'slide'
    boxes = (window_boxes(whole.shape[-2:], crop_size, stride) if slide
             else [(0, 0, *whole.shape[-2:])])
    window = (boxes[0][2] - boxes[0][0], boxes[0][3] - boxes[0][1])
    with_whole = slide and global_view
    shifts = [shift_of(form, window, grid_of) for form in forms]
    small = resize(whole, window) if with_whole else whole
    views = []
    for form, shift in zip(forms, shifts):
        moved = shift_pictures(whole, shift)
        own = [moved[..., t:b, x:r] for t, x, b, r in boxes]
        if with_whole:
            own.append(shift_pictures(small, shift))
        views += [view.flip(-1) for view in own] if form.flip else own
    stacked = views[0] if len(views) == 1 else torch.stack(views, 1).flatten(0, 1)
    return Views(stacked, boxes, whole, slide, with_whole, (height, width), forms,
                 shifts)


def shift_of(form: Form, size: Sequence[int], grid_of: GridOf | None
             ) -> tuple[int, int]:
    """Whole pixels down and right that a form of a view of this size is moved by."""
    if not form.shift:
        return 0, 0
    if grid_of is None:
        raise ValueError(
            'test_cfg.tta shifts by parts of a patch, and the image encoder does not '
            'say how large one is: give it grid_of(size), as CLIPVisionBackbone has '
            'it, or choose tta=\'flip\'')
    down, right = (round(form.shift * n / cells)
                   for n, cells in zip(size, grid_of(size)))
    return down, right


def of_any_view(x: Tensor, views: int | None) -> Tensor:
    """For each view the largest value that any view of its image has.

    Args:
        x: By view, [B * V, C], the V views of the first image first; bool as well.
        views: V; None: all are views of one image, also where their number is open.

    Returns:
        Tensor: [B * V, C].
    """
    if views is None:
        return x.amax(0, keepdim=True).expand_as(x)
    return x.unflatten(0, (-1, views)).amax(1).repeat_interleave(views, 0)


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
        selected = of_any_view(selected, views)
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

    Views are averaged where they overlap, moved and turned back to where they were
    taken: as probabilities where each category stands for itself (sigmoid), as logits
    where categories compete (softmax), which for a cosine head is the average of
    cosines.

    Args:
        logits: Of K categories in the image's views, [V, K, h, w].
        views: The views.
        activation: The head's, see ``CategoryHead``.

    Returns:
        Tensor: float32 [K, H, W]; logits of a single view and with softmax, otherwise
        probabilities.
    """
    if not views.averaged:
        return resize(logits[0], views.size)
    height, width = size = tuple(views.images.shape[-2:])
    scores = resize(logits, size)
    if activation == 'sigmoid':
        scores = scores.sigmoid_() if scores is not logits else scores.sigmoid()
    parts: list[tuple[Tensor, Box]] = []
    wholes: list[tuple[Tensor, Box]] = []
    for form, shift, own in zip(views.forms, views.shifts,
                                scores.split(views.per_form)):
        own = own.flip(-1) if form.flip else own
        parts += [(view, place_of(box, shift, views.size))
                  for view, box in zip(own, views.windows)]
        if views.with_whole:
            wholes.append((own[-1], place_of((0, 0, height, width), shift, size)))
    maps = mean_of_places(parts, views.size)
    if wholes:
        maps.add_(resize(mean_of_places(wholes, size), views.size)).div_(2)
    return maps


def mean_of_places(parts: Sequence[tuple[Tensor, Box]], size: Sequence[int]) -> Tensor:
    """Mean of maps where they overlap.

    Args:
        parts: Maps [K, h, w], and where in the result they lie; what reaches over the
            lower and right end of their place is left out.
        size: Height and width that the places cover.

    Returns:
        Tensor: [K, *size].
    """
    first, place = parts[0]
    if len(parts) == 1 and tuple(place) == (0, 0, *size):
        return first
    maps = first.new_zeros(first.shape[0], *size)
    overlap = torch.zeros(tuple(size))
    for part, (top, left, bottom, right) in parts:
        maps[:, top:bottom, left:right] += part[:, :bottom - top, :right - left]
        overlap[top:bottom, left:right] += 1
    return maps.div_(overlap.to(maps.device))


def undo_augmentation(maps: Tensor, meta: Mapping, size: tuple[int, int]) -> Tensor:
    """Cut padding off maps [K, h, w] of an input of `size` and turn flips back."""
    left, right, top, bottom = meta.get('img_padding_size',
                                        meta.get('padding_size', (0, 0, 0, 0)))
    rows, columns = maps.shape[-2:]
    height, width = size
    maps = maps[:, round(top * rows / height):round((height - bottom) * rows / height),
                round(left * columns / width):round((width - right) * columns / width)]
    return maps.flip(FLIPPED[meta['flip_direction']]) if meta.get('flip') else maps
