"""The arg max over the selected categories of an image, some maps at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from ...vocabulary import Background, Queries, Vocabulary
from ..resizing import resize
from ..structures import Pairs
from .views import Views, merge_views, undo_augmentation

# Values of the largest tensor at once. On a CPU its caches and the pages that a larger
# one is given anew each time decide; elsewhere 5 maps of a picture of 12 megapixels.
MAX_VALUES = dict(cpu=2**22, cuda=2**26)
# Maps [B, K, h, w], images [B, 3, h', w'] and a size to maps [B, K, *size].
Refinement = Callable[[Tensor, Tensor, Sequence[int]], Tensor]


@dataclass
class LabelMap:
    """The prediction of one image.

    Attributes:
        seg_map: Category ids, int64 [H, W].
        categories: Selected categories in ascending order, int64 [C_s]; the none class
            is among them where one of its words was selected.
        maps: Their probabilities, float32 [C_s, H, W] or smaller, or None.
        probability: Of the best category of each pixel, float32 [H, W], or None.
    """
    seg_map: Tensor
    categories: Tensor
    maps: Tensor | None = None
    probability: Tensor | None = None


@dataclass(frozen=True)
class Ids:
    """Which ids pixels get.

    Attributes:
        owner: The id that stands for each query, int64 [Q]; None: its place.
        threshold: Pixels whose best probability is below it are of no category.
        none_id: Their id.
    """
    owner: Tensor | None = None
    threshold: float | None = None
    none_id: int | None = None

    @classmethod
    def of_queries(cls, queries: Vocabulary | Queries, rule: Background | None,
                   none_id: int | None) -> 'Ids':
        """The ids that queries and a background rule give."""
        owner = (torch.from_numpy(queries.owners) if isinstance(queries, Queries)
                 else None)
        return cls(owner, None if rule is None else rule.threshold, none_id)

    def of(self, queries: Tensor) -> Tensor:
        """Ids of queries of any shape."""
        if self.owner is None:
            return queries
        return self.owner.to(queries.device)[queries]

    def decide(self, best: Tensor, probability: Tensor) -> Tensor:
        """Ids of pixels.

        Args:
            best: The best query of each pixel, int64 [H, W].
            probability: Of that query, [H, W].
        """
        ids = self.of(best)
        if self.threshold is None or self.none_id is None:
            return ids
        return ids.masked_fill(probability < self.threshold, self.none_id)


def best_of_owners(maps: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of the maps of each id.

    Args:
        maps: Of K queries, [K, H, W].
        owners: Their ids, [K].

    Returns:
        tuple: Maps [C, H, W], and their ids, ascending [C].
    """
    ids, place = owners.unique(return_inverse=True)
    if len(ids) == len(owners):
        return maps[place.argsort()], ids
    return torch.stack([maps[place == i].amax(0) for i in range(len(ids))]), ids


def make_label_map(logits: Tensor, pairs: Pairs, views: Views, image: int,
                   meta: Mapping, *, activation: str, max_maps: int,
                   ids: Ids = Ids(), keep_maps: bool = False,
                   maps_side: int | None = None, keep_probability: bool = False,
                   refinement: Refinement | None = None) -> LabelMap:
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
        max_maps: Category maps held at full size at once; of large pictures and of
            many views fewer, ``MAX_VALUES`` in all.
        ids: Which ids pixels get.
        keep_maps: Also return the probabilities.
        maps_side: As in ``PredictSettings``.
        keep_probability: Also return that of the best category.
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
    picture = undo_augmentation(views.whole[image], meta, views.input_size)[None]
    size: Sequence[int] = tuple(meta.get('ori_shape', views.size))[:2]
    kept = []
    best = logits.new_full(size, -torch.inf, dtype=torch.float32)
    best_id = torch.full_like(best, -1, dtype=torch.long)
    total = best  # logarithm of the sum that a softmax divides by
    competing = activation == 'softmax' and (
        keep_maps or keep_probability or ids.threshold is not None)
    largest = max(size[0] * size[1], views.size[0] * views.size[1],
                  views.per_image * views.images.shape[-2] * views.images.shape[-1])
    values = MAX_VALUES['cpu' if logits.device.type == 'cpu' else 'cuda']
    most = max(1, min(max_maps, values // max(1, largest)))
    for chunk, part in zip(categories.split(most), own.split(most, 1)):
        maps = undo_augmentation(merge_views(part, views, activation), meta,
                                 views.input_size)
        maps = (resize(maps, size) if refinement is None
                else refinement(maps[None], picture, size)[0])
        score, place = maps.max(0)
        better = score > best
        best = torch.where(better, score, best)
        best_id = torch.where(better, chunk[place], best_id)
        if competing:
            total = torch.logaddexp(total, maps.logsumexp(0))
        if keep_maps:
            kept.append(picked(maps, maps_side))

    def probability(maps: Tensor, total: Tensor) -> Tensor:
        if activation == 'softmax':
            return (maps - total).exp() if competing else maps
        return maps if views.averaged else maps.sigmoid()

    highest = probability(best, total)
    seg_map = ids.decide(best_id, highest)
    owners = ids.of(categories)
    shown = highest if keep_probability else None
    kept_maps = (probability(torch.cat(kept), picked(total, maps_side)) if keep_maps
                 else None)
    if ids.owner is None:  # in ascending order already; unique waits for the device
        return LabelMap(seg_map, owners, kept_maps, shown)
    if kept_maps is None:
        return LabelMap(seg_map, owners.unique(), probability=shown)
    kept_maps, found = best_of_owners(kept_maps, owners)
    return LabelMap(seg_map, found, kept_maps, shown)


def picked(maps: Tensor, most: int | None) -> Tensor:
    """Evenly picked pixels of maps [..., H, W], at most so many of a side."""
    for dim in (-2, -1):
        side = maps.shape[dim]
        if most is not None and side > most:
            places = torch.arange(most, device=maps.device) * side // most
            maps = maps.index_select(dim, places)
    return maps


def word_scores(found: LabelMap, names: Sequence[str]) -> InstanceData:
    """Maps that may overlap, of the selected categories of a picture.

    Args:
        found: With maps.
        names: Of all categories; the none class is left out unless it is one.

    Returns:
        InstanceData: ``names``, ``ids`` [K], ``maps`` (probabilities [K, H, W]) and
        ``scores`` [K], the largest probability of each map.
    """
    assert found.maps is not None
    named = (found.categories >= 0) & (found.categories < len(names))
    ids, maps = found.categories[named], found.maps[named]
    return InstanceData(names=[names[i] for i in ids.tolist()], ids=ids,
                        scores=maps.amax((1, 2)), maps=maps)
