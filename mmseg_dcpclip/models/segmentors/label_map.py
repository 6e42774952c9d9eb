"""The arg max over the selected categories of an image, some maps at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..structures import Pairs
from .views import Views, merge_views, resize, undo_augmentation

MAX_VALUES = 2**26  # of maps at full size at once: 5 of a picture of 12 megapixels
# Maps [B, K, h, w], images [B, 3, h', w'] and a size to maps [B, K, *size].
Refinement = Callable[[Tensor, Tensor, Sequence[int]], Tensor]


@dataclass
class LabelMap:
    """The prediction of one image.

    Attributes:
        seg_map: Category ids, int64 [H, W].
        categories: Selected categories in ascending order, int64 [C_s].
        maps: Their probabilities, float32 [C_s, H, W], or None.
    """
    seg_map: Tensor
    categories: Tensor
    maps: Tensor | None = None


def make_label_map(logits: Tensor, pairs: Pairs, views: Views, image: int,
                   meta: Mapping, *, activation: str, max_maps: int,
                   keep_maps: bool = False, refinement: Refinement | None = None
                   ) -> LabelMap:
    """Merge the views of an image and take the best category of each pixel.

    Nothing of the size C x H x W is made. Of equal scores the lowest id wins.

    Args:
        logits: Of all pairs of all views, [M, h, w].
        pairs: M pairs; ``pairs.image`` counts views, and all views of an image have the
            same categories (``shared_pairs``).
        views: The views.
        image: Which image.
        meta: Metainfo of its data sample: size, padding and flip.
        activation: The head's, see ``CategoryHead``.
        max_maps: Category maps held at full size at once; of a large picture fewer,
            ``MAX_VALUES`` in all.
        keep_maps: Also return the probabilities.
        refinement: What brings maps to their size in place of bilinear resizing, such
            as ``PAMR``.

    Returns:
        LabelMap: At ``ori_shape``, or at the size of the input without it.
    """
    first = image * views.per_image
    start, count = sum(pairs.counts[:first]), pairs.counts[first]
    categories = pairs.category[start:start + count]
    own = logits[start:start + views.per_image * count].unflatten(
        0, (views.per_image, count))
    picture = undo_augmentation(views.whole[image], meta, views.size)[None]
    size: Sequence[int] = tuple(meta.get('ori_shape', views.size))[:2]
    kept = []
    best = logits.new_full(size, -torch.inf, dtype=torch.float32)
    best_id = torch.full_like(best, -1, dtype=torch.long)
    most = max(1, min(max_maps, MAX_VALUES // max(1, size[0] * size[1])))
    for chunk, part in zip(categories.split(most), own.split(most, 1)):
        maps = undo_augmentation(merge_views(part, views, activation), meta, views.size)
        maps = (resize(maps, size) if refinement is None
                else refinement(maps[None], picture, size)[0])
        score, place = maps.max(0)
        better = score > best
        best = torch.where(better, score, best)
        best_id = torch.where(better, chunk[place], best_id)
        if keep_maps:
            kept.append(maps)
    if not keep_maps:
        return LabelMap(best_id, categories)
    maps = torch.cat(kept)
    if activation == 'softmax':
        maps -= torch.stack([part.logsumexp(0) for part in kept]).logsumexp(0)
        maps.exp_()
    elif not views.slide:
        maps.sigmoid_()
    return LabelMap(best_id, categories, maps)
