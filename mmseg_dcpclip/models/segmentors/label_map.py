"""The arg max over the selected categories of an image, some maps at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..structures import Pairs
from .views import Views, merge_views, resize, undo_augmentation


@dataclass
class LabelMap:
    """The prediction of one image.

    Attributes:
        seg_map: Category ids, int64 [H, W].
        categories: Selected categories in ascending order, int64 [C_s].
        maps: Their maps at full size, float32 [C_s, H, W], or None.
    """
    seg_map: Tensor
    categories: Tensor
    maps: Tensor | None = None


def make_label_map(logits: Tensor, pairs: Pairs, views: Views, image: int,
                   meta: Mapping, *, max_maps: int, keep_maps: bool = False
                   ) -> LabelMap:
    """Merge the views of an image and take the best category of each pixel.

    Nothing of the size C x H x W is made. Of equal scores the lowest id wins.

    Args:
        logits: Of all pairs of all views, [M, h, w].
        pairs: M pairs; ``pairs.image`` counts views.
        views: The views.
        image: Which image.
        meta: Metainfo of its data sample: size, padding and flip.
        max_maps: Category maps held at full size at once.
        keep_maps: Also return the maps.

    Returns:
        LabelMap: At ``ori_shape``, or at the size of the input without it.
    """
    view = torch.div(pairs.image, views.per_image, rounding_mode='floor')
    categories = pairs.category[view == image].unique()
    size: Sequence[int] = tuple(meta.get('ori_shape', views.size))[:2]
    best = best_id = None
    kept = []
    for chunk in categories.split(max_maps):
        maps = merge_views(logits, pairs, views, image, chunk)
        maps = resize(undo_augmentation(maps, meta, views.size), size)
        score, place = maps.max(0)
        if best is None or best_id is None:
            best, best_id = score, chunk[place]
        else:
            better = score > best
            best = torch.where(better, score, best)
            best_id = torch.where(better, chunk[place], best_id)
        if keep_maps:
            kept.append(maps)
    if best_id is None:
        raise RuntimeError('no category was selected: the selection must keep at least '
                           'one per image')
    return LabelMap(best_id, categories, torch.cat(kept) if keep_maps else None)
