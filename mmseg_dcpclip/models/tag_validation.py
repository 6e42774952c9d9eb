"""Tag validation (Sec. III-D, Eq. 17): a second look at unseen categories."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from ..vocabulary import Vocabulary, Words


def region_features(seg_map: Tensor, feats: Tensor, categories: Tensor) -> Tensor:
    """Mean feature of each category's region.

    A pixel carries the feature of the cell it lies in, so that a region smaller than
    a cell still counts.

    Args:
        seg_map: Category ids, int64 [H, W].
        feats: Feature map, [D, h, w].
        categories: Ids that occur in the map, sorted, [K].

    Returns:
        Tensor: float32 [K, D].
    """
    (height, width), (rows, columns) = seg_map.shape, feats.shape[1:]
    y = torch.arange(height, device=seg_map.device) * rows // height
    x = torch.arange(width, device=seg_map.device) * columns // width
    cell = y[:, None] * columns + x[None, :]
    region = torch.searchsorted(categories, seg_map.flatten())
    region = region.clamp(max=len(categories) - 1)
    inside = categories[region] == seg_map.flatten()
    index = (region * rows * columns + cell.flatten())[inside]
    counts = torch.bincount(index, minlength=len(categories) * rows * columns)
    counts = counts.view(len(categories), -1).to(torch.float32)
    return counts @ feats.flatten(1).float().T / counts.sum(1, keepdim=True)


def validate_tags(seg_map: Tensor, feats: Tensor, text: Tensor, seen: Tensor, *,
                  top_k: int, ignore_index: int | None = None) -> Tensor:
    """Give regions of unseen categories a better category where they need one.

    The features of each predicted category's region are averaged and compared with
    all embeddings. An unseen category that is not among the ``top_k`` most similar
    ones is replaced by the most similar one; seen categories stay (Eq. 17). All
    regions are judged by the map that comes in.

    Args:
        seg_map: Predicted category ids, int64 [H, W].
        feats: CLIP's patch features in the joint space, [D, h, w].
        text: Embeddings of all categories, [C, D].
        seen: Which categories were trained on, bool [C].
        top_k: k of Eq. 17, at least 1.
        ignore_index: An id in the map that is no category and stays.

    Returns:
        Tensor: New map, int64 [H, W].

    Raises:
        ValueError: ``top_k`` below 1, or an id without an embedding.
    """
    if top_k < 1:
        raise ValueError(f'top_k must be at least 1, got {top_k}')
    present = seg_map.unique()
    if ignore_index is not None:
        present = present[present != ignore_index]
    wrong = present[(present < 0) | (present >= len(text))]
    if len(wrong):
        raise ValueError(f'the map holds the ids {wrong.tolist()[:5]}, but there are '
                         f'only {len(text)} categories')
    unseen = present[~seen[present]]
    if not len(unseen):
        return seg_map.clone()
    pooled = F.normalize(region_features(seg_map, feats, unseen), dim=-1)
    text = text.float()
    scores = pooled @ text.T / text.norm(dim=-1)  # [K, C]; no second [C, D]
    own = scores.gather(1, unseen[:, None])
    rank = (scores > own).sum(1)  # 0 is the most similar
    # Eq. 17, by region; what is seen or ignored is not among them
    renamed = torch.where(rank < top_k, unseen, scores.argmax(1))
    result = seg_map.clone()
    for old, new in zip(unseen.tolist(), renamed.tolist()):
        if old != new:
            result[seg_map == old] = new
    return result


@lru_cache(maxsize=8)
def seen_mask(vocabulary: Vocabulary, seen: Vocabulary, match: str) -> Tensor:
    """``Vocabulary.seen`` as bool [C]; names are compared once, not per image."""
    return torch.from_numpy(vocabulary.seen(seen, match=match))


@MODELS.register_module()
class TagValidation:
    """``validate_tags`` with its settings, for the segmentor.

    A second look of your own is a registered class with this ``__call__``; name it as
    ``tag_validation=dict(type=...)``. ``DCPCLIP`` hands it ``seen``.

    Args:
        seen: The training vocabulary: a ``Vocabulary``, its name or path, or a
            list of names.
        top_k: k of Eq. 17.
        match: How names are compared: ``'name'`` (equal in lower case) or
            ``'concept'``, see ``Vocabulary.seen``.
    """

    def __init__(self, seen: Words, top_k: int = 5,
                 match: str = 'name') -> None:
        if top_k < 1:
            raise ValueError(f'top_k must be at least 1, got {top_k}')
        self.seen = Vocabulary.of(seen)
        self.top_k = top_k
        self.match = match

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TagValidation):
            return NotImplemented
        return type(self) is type(other) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(seen={self.seen!r}, top_k={self.top_k}, '
                f'match={self.match!r})')

    def __call__(self, seg_map: Tensor, feats: Tensor, text: Tensor,
                 vocabulary: Vocabulary) -> Tensor:
        """Validate one map, see ``validate_tags``.

        Args:
            seg_map: Predicted category ids, int64 [H, W].
            feats: CLIP's patch features in the joint space, [D, h, w].
            text: Embeddings of all categories, [C, D].
            vocabulary: Their words.
        """
        seen = seen_mask(vocabulary, self.seen, self.match)
        return validate_tags(seg_map, feats, text, seen.to(seg_map.device),
                             top_k=self.top_k)
