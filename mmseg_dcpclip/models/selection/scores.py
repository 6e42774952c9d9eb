"""Scores of patches against many words, some words at a time."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..structures import TextEmbeddings
from ..tracing import fixed

MAX_SCORES = 2**21  # scores of patches and categories held at once
BLOCK = 64  # categories whose maximum is taken at once


def chunk_of(patch: Tensor, text: Tensor, max_scores: int, block: int = BLOCK
             ) -> int | None:
    """Categories at once; None: all, where sizes are open in an export.

    Args:
        patch: [B, N, D].
        text: [C, D].
        max_scores: Scores of patches and categories held at once.
        block: The number is a multiple of it, and at least this one.
    """
    if not fixed(*patch.shape, *text.shape):
        return None
    return max(block, max_scores // patch[..., 0].numel() // block * block)


def parts_of(text: Tensor, chunk: int | None) -> Iterator[tuple[int, Tensor]]:
    """Some categories [c, D] at a time, and the number of the first of them."""
    if chunk is None:
        yield 0, text
        return
    for start in range(0, text.shape[0], chunk):
        yield start, text[start:start + chunk]


def image_logits(cls: Tensor, text: Tensor, logit_scale: float | Tensor,
                 chunk: int | None, known: Tensor | None = None
                 ) -> tuple[Tensor, Tensor]:
    """What the softmax of Eq. 1 takes, and the embeddings' lengths.

    Args:
        cls: Unit features, [B, D].
        text: Embeddings, [C, D].
        logit_scale: tau.
        chunk: Categories at once; None: all.
        known: The embeddings' lengths; None: they are computed.

    Returns:
        tuple: Logits [B, C] and lengths [C].
    """
    logits, lengths = [], []
    for start, part in parts_of(text, chunk):
        part = part.float()
        lengths.append(
            torch.linalg.vector_norm(part, dim=-1).clamp(min=1e-12) if known is None
            else known[start:start + part.shape[0]])
        logits.append(cls @ part.T / lengths[-1])
    return logit_scale * torch.cat(logits, 1), torch.cat(lengths)


def image_order(cls: Tensor, text: TextEmbeddings, logit_scale: float | Tensor,
                max_scores: int = MAX_SCORES) -> Tensor:
    """Image scores by which categories are kept where there are too many.

    Logits, as small scores underflow to the same 0. Equal words have the very same one:
    a product rounds otherwise from place to place.

    Args:
        cls: F_cls, [B, D]; need not have unit length.
        text: Embeddings of C categories.
        logit_scale: tau.
        max_scores: Elements of embeddings in float32 at once.

    Returns:
        Tensor: [B, C].
    """
    words, dims = text.mean.shape
    logits, _ = image_logits(
        F.normalize(cls.float(), dim=-1), text.mean, logit_scale,
        max(1, max_scores // dims) if fixed(words) else None)
    return logits.index_select(1, text.first_equal())


def best_of_patches(patch: Tensor, text: Tensor, weights: Sequence[Tensor],
                    chunk: int | None, block: int) -> list[Tensor]:
    """The best category of each patch.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        weights: Factors on the product of each category, each [B, C].
        chunk: Categories at once; None: all.
        block: As in ``first_max``.

    Returns:
        list[Tensor]: For each of the weights, int64 [B, N].
    """
    best = [(patch.new_full(patch.shape[:2], -torch.inf),
             patch.new_zeros(patch.shape[:2], dtype=torch.long)) for _ in weights]
    for start, part in parts_of(text, chunk):
        product = patch @ part.float().T
        for i, weight in enumerate(weights):
            own = weight[:, None, start:start + part.shape[0]]
            score, index = first_max(product * own, block)
            better = score > best[i][0]
            best[i] = (torch.where(better, score, best[i][0]),
                       torch.where(better, index + start, best[i][1]))
    return [index for _, index in best]


def first_max(x: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Maximum and its first place along the last dimension.

    The maxima of blocks come first: much faster on a CPU than a search with places
    over everything.
    """
    if not fixed(*x.shape):
        return x.max(-1)
    if x.shape[-1] % block:
        x = F.pad(x, (0, -x.shape[-1] % block), value=-torch.inf)
    x = x.unflatten(-1, (-1, block))
    best = x.amax(-1).argmax(-1, keepdim=True)
    inside = x.gather(-2, best[..., None].expand(*best.shape, block)).squeeze(-2)
    score, place = inside.max(-1)
    return score, best.squeeze(-1) * block + place


def top_of_patches(patch: Tensor, text: Tensor, left_out: Tensor, most: int,
                   chunk: int | None, block: int) -> tuple[Tensor, Tensor]:
    """The most similar categories of each patch, best first.

    Of equal scores the lowest id comes first, in whatever chunks.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        left_out: Categories that take no part, bool [C].
        most: How many.
        chunk: Categories at once; None: all.
        block: As in ``first_max``.

    Returns:
        tuple: Ids, int64 [B, N, most], and whether there were so many, bool
        [B, N, most].
    """
    scores = ids = patch.new_empty(0)
    for start, part in parts_of(text, chunk):
        product = patch @ F.normalize(part.float(), dim=-1).T
        product = product.masked_fill(left_out[start:start + part.shape[0]], -torch.inf)
        found = []
        for _ in range(most):
            found.append(first_max(product, block))
            product.scatter_(-1, found[-1][1][..., None], -torch.inf)
        own, places = (torch.stack(each, -1) for each in zip(*found))
        if not start:
            scores, ids = own, places
            continue
        # What came before has the lower ids; a stable sort keeps it there.
        scores, order = torch.cat([scores, own], -1).sort(
            dim=-1, descending=True, stable=True)
        ids = torch.cat([ids, places + start], -1).gather(-1, order)
        scores, ids = scores[..., :most], ids[..., :most]
    return ids, scores > -torch.inf


def mark(mask: Tensor, places: Tensor) -> Tensor:
    """Set some places of each row in place.

    Args:
        mask: bool [B, C].
        places: int64 [B, n].

    Returns:
        Tensor: The mask.
    """
    # a tensor, since torch.jit.trace cannot follow a bare True
    return mask.scatter_(1, places, torch.ones_like(places, dtype=torch.bool))


def mark_top(scores: Tensor, most: int) -> Tensor:
    """Where the highest scores of each row are; of equal ones the first.

    Args:
        scores: [B, C].
        most: How many; may exceed C, also where that is open in an export.

    Returns:
        Tensor: bool [B, C].
    """
    least = -torch.inf if scores.is_floating_point() else torch.iinfo(scores.dtype).min
    scores = F.pad(scores, (0, most), value=least)
    # topk takes any of equal ones, another one on another device
    last = scores.topk(most, 1).values[:, -1:]
    above, equal = scores > last, scores == last
    room = most - above.sum(1, keepdim=True)
    return (above | equal & (equal.cumsum(1) <= room))[:, :-most]


def top_selected(selected: Tensor, scores: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The selected categories with the highest scores, a fixed number of each image.

    Of equal scores the lowest ids count.

    Args:
        selected: bool [B, C].
        scores: [B, C].
        most: K; may exceed C.

    Returns:
        tuple: Ids in ascending order, int64 [B, K], and which are there, bool [B, K];
        behind them 0 fills up.
    """
    kept = selected & mark_top(scores.masked_fill(~selected, -torch.inf), most)
    ids = torch.arange(selected.shape[1], device=kept.device)
    none = torch.iinfo(torch.int32).max  # not the number of words, open in an export
    ids = F.pad(ids.expand_as(kept).masked_fill(~kept, none), (0, most), value=none)
    ids = ids.topk(most, 1, largest=False).values
    valid = ids < none
    return ids.masked_fill(~valid, 0), valid
