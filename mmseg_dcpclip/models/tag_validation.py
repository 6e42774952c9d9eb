"""Tag validation (Sec. III-D, Eq. 17): a second look at unseen categories."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from ..vocabulary import Vocabulary, Words
from .regions import region_features

# Features of regions, float [K, D], from a map and the K ids of its categories.
RegionEncoder = Callable[[Tensor, Tensor], Tensor]
CANDIDATES = ('all', 'map', 'larger')


def validate_tags(seg_map: Tensor, feats: Tensor, text: Tensor, seen: Tensor, *,
                  top_k: int, ignore_index: int | None = None,
                  candidates: str = 'all', encode: RegionEncoder | None = None
                  ) -> Tensor:
    """Give regions of unseen categories a better category where they need one.

    The feature of each predicted category's region is compared with all embeddings. An
    unseen category that is not among the ``top_k`` most similar ones is replaced by the
    most similar candidate; seen categories stay (Eq. 17). All regions are judged by the
    map that comes in.

    Args:
        seg_map: Predicted category ids, int64 [H, W].
        feats: CLIP's patch features in the joint space, [D, h, w].
        text: Embeddings of all categories, [C, D].
        seen: Which categories were trained on, bool [C].
        top_k: k of Eq. 17, at least 1.
        ignore_index: An id in the map that stays and that no region becomes: of no
            category, or a category that stands for none.
        candidates: What a region may become: one of ``'all'`` categories (the paper),
            of those in the ``'map'``, or of those whose region there is ``'larger'``.
        encode: Makes features of regions, such as ``CLIPVisionBackbone.region_cls`` of
            a picture. None: the mean of ``feats``, see ``region_features``.

    Returns:
        Tensor: New map, int64 [H, W].

    Raises:
        ValueError: ``top_k`` below 1, unknown candidates, or an id without an
            embedding.
    """
    check_settings(top_k, candidates)
    present, sizes = categories_of(seg_map, len(text), ignore_index)
    judged = ~seen.cpu()[present]
    unseen, own_sizes = present[judged], sizes[judged]
    if not len(unseen):
        return seg_map.clone()
    not_larger = (sizes <= own_sizes[:, None]) & (present != unseen[:, None])
    present, unseen = present.to(seg_map.device), unseen.to(seg_map.device)
    pooled = (region_features(seg_map, feats, unseen) if encode is None
              else encode(seg_map, unseen))
    text = text.float()
    scores = F.normalize(pooled.float(), dim=-1) @ text.T
    scores = scores / text.norm(dim=-1)  # [K, C]; no second [C, D]
    own = scores.gather(1, unseen[:, None])
    if ignore_index is not None and 0 <= ignore_index < len(text):
        scores[:, ignore_index] = -torch.inf
    rank = (scores > own).sum(1)  # 0 is the most similar
    if candidates == 'all':
        best = scores.argmax(1)
    else:
        among = scores[:, present]
        if candidates == 'larger':  # or the region's own
            among = among.masked_fill(not_larger.to(among.device), -torch.inf)
        best = present[among.argmax(1)]
    # Eq. 17, by region; what is seen or ignored is not among them
    renamed = torch.where(rank < top_k, unseen, best)
    names = torch.arange(len(text), device=seg_map.device).scatter(0, unseen, renamed)
    known = seg_map.clamp(0, len(text) - 1)
    return torch.where(known == seg_map, names[known], seg_map)


def categories_of(seg_map: Tensor, num_categories: int, ignore_index: int | None
                  ) -> tuple[Tensor, Tensor]:
    """The categories that occur in a map; the host waits for the device once.

    Args:
        seg_map: Ids, int64 [H, W].
        num_categories: C.
        ignore_index: An id that does not count.

    Returns:
        tuple: Ascending ids, int64 [K], and their pixels, int [K], on the CPU.

    Raises:
        ValueError: An id that is neither a category nor ``ignore_index``.
    """
    flat = seg_map.flatten()
    counted = torch.ones_like(flat, dtype=torch.bool)
    if ignore_index is not None:
        counted = flat != ignore_index
    # the last place is for what is none
    place = torch.where((flat >= 0) & (flat < num_categories), flat, num_categories)
    # integers: the last of several writes to one place would win
    found = torch.zeros(num_categories + 1, dtype=torch.int, device=flat.device)
    found = found.index_add_(0, place, counted.int()).cpu()
    if found[-1]:
        wrong = flat[counted & (place == num_categories)].unique().tolist()
        raise ValueError(f'the map holds the ids {wrong[:5]}, but there are only '
                         f'{num_categories} categories')
    ids = found[:-1].nonzero().squeeze(1)
    return ids, found[ids]


def check_settings(top_k: int, candidates: str) -> None:
    """Refuse settings that mean nothing.

    Raises:
        ValueError: ``top_k`` below 1, or unknown candidates.
    """
    if top_k < 1:
        raise ValueError(f'top_k must be at least 1, got {top_k}')
    if candidates not in CANDIDATES:
        raise ValueError(f'candidates must be one of {", ".join(CANDIDATES)}, got '
                         f'{candidates!r}')


@lru_cache(maxsize=8)
def seen_mask(vocabulary: Vocabulary, seen: Vocabulary | None, match: str) -> Tensor:
    """``Vocabulary.seen`` as bool [C]; names are compared once, not per image."""
    if seen is None:
        return torch.zeros(len(vocabulary), dtype=torch.bool)
    return torch.from_numpy(vocabulary.seen(seen, match=match))


@MODELS.register_module()
class TagValidation:
    """``validate_tags`` with its settings, for the segmentor.

    A second look of your own is a registered class with this ``__call__``; name it as
    ``tag_validation=dict(type=...)``. ``DCPCLIP`` hands it ``seen``, ``encode`` if its
    ``region`` is ``'cls'``, and ``ignore_index`` where the model has a none class.

    Args:
        seen: The training vocabulary: a ``Vocabulary``, its name or path, or a
            list of names. ``[]``: every category is unseen, as without training.
        top_k: k of Eq. 17.
        match: How names are compared: ``'name'`` (equal in lower case) or
            ``'concept'``, see ``Vocabulary.seen``.
        region: A region's feature: ``'mean'``, that of CLIP's patch features; or
            ``'cls'``, CLIP's [CLS] that attends to the region's patches only, for which
            the picture goes through the encoder once more.
        candidates: What a region may become: one of ``'all'`` categories (the paper),
            of those in the ``'map'``, or of those whose region there is ``'larger'``.

    Attributes:
        seen: The training vocabulary, or None where nothing was seen.

    Raises:
        ValueError: ``top_k`` below 1, or an unknown word.
    """

    def __init__(self, seen: Words, top_k: int = 5, match: str = 'name',
                 region: str = 'mean', candidates: str = 'all') -> None:
        check_settings(top_k, candidates)
        if region not in ('mean', 'cls'):
            raise ValueError(f"region must be 'mean' or 'cls', got {region!r}")
        nothing = isinstance(seen, (list, tuple)) and not seen
        self.seen = None if nothing else Vocabulary.of(seen)
        self.top_k = top_k
        self.match = match
        self.region = region
        self.candidates = candidates

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TagValidation):
            return NotImplemented
        return type(self) is type(other) and vars(self) == vars(other)

    def __repr__(self) -> str:
        settings = ', '.join(f'{k}={v!r}' for k, v in vars(self).items())
        return f'{type(self).__name__}({settings})'

    def __call__(self, seg_map: Tensor, feats: Tensor, text: Tensor,
                 vocabulary: Vocabulary, encode: RegionEncoder | None = None,
                 ignore_index: int | None = None) -> Tensor:
        """Validate one map, see ``validate_tags``.

        Args:
            seg_map: Predicted category ids, int64 [H, W].
            feats: CLIP's patch features in the joint space, [D, h, w].
            text: Embeddings of all categories, [C, D].
            vocabulary: Their words.
            encode: As there, with ``region='cls'``.
            ignore_index: As there: the id of the none class.
        """
        seen = seen_mask(vocabulary, self.seen, self.match)
        return validate_tags(seg_map, feats, text, seen.to(seg_map.device),
                             top_k=self.top_k, candidates=self.candidates,
                             encode=encode, ignore_index=ignore_index)
