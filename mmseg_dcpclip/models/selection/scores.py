"""Scores of patches against many words, some words at a time."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_SCORES = 2**21  # scores of patches and categories held at once
BLOCK = 64  # categories whose maximum is taken at once


def chunk_of(patch: Tensor, max_scores: int, block: int = BLOCK) -> int:
    """Categories at once.

    Args:
        patch: [B, N, D].
        max_scores: Scores of patches and categories held at once.
        block: The number is a multiple of it, and at least this one.
    """
    return max(block, max_scores // patch[..., 0].numel() // block * block)


def image_logits(cls: Tensor, text: Tensor, logit_scale: float, chunk: int
                 ) -> tuple[Tensor, Tensor]:
    """What the softmax of Eq. 1 takes, and the embeddings' lengths.

    Args:
        cls: Unit features, [B, D].
        text: Embeddings, [C, D].
        logit_scale: tau.
        chunk: Categories at once.

    Returns:
        tuple: Logits [B, C] and lengths [C].
    """
    logits, lengths = [], []
    for part in text.split(chunk):
        part = part.float()
        lengths.append(torch.linalg.vector_norm(part, dim=-1).clamp(min=1e-12))
        logits.append(cls @ part.T / lengths[-1])
    return logit_scale * torch.cat(logits, 1), torch.cat(lengths)


def best_of_patches(patch: Tensor, text: Tensor, weights: Sequence[Tensor], chunk: int,
                    block: int) -> list[Tensor]:
    """The best category of each patch.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        weights: Factors on the product of each category, each [B, C].
        chunk: Categories at once.
        block: As in ``first_max``.

    Returns:
        list[Tensor]: For each of the weights, int64 [B, N].
    """
    best = [(patch.new_full(patch.shape[:2], -torch.inf),
             patch.new_zeros(patch.shape[:2], dtype=torch.long)) for _ in weights]
    for start in range(0, len(text), chunk):
        part = slice(start, start + chunk)
        product = patch @ text[part].float().T
        for i, weight in enumerate(weights):
            score, index = first_max(product * weight[:, None, part], block)
            better = score > best[i][0]
            best[i] = (torch.where(better, score, best[i][0]),
                       torch.where(better, index + start, best[i][1]))
    return [index for _, index in best]


def first_max(x: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Maximum and its first place along the last dimension.

    The maxima of blocks come first: much faster on a CPU than a search with places
    over everything.
    """
    if x.shape[-1] % block:
        x = F.pad(x, (0, -x.shape[-1] % block), value=-torch.inf)
    x = x.unflatten(-1, (-1, block))
    best = x.amax(-1).argmax(-1, keepdim=True)
    inside = x.gather(-2, best[..., None].expand(*best.shape, block)).squeeze(-2)
    score, place = inside.max(-1)
    return score, best.squeeze(-1) * block + place


def top_of_patches(patch: Tensor, text: Tensor, left_out: Tensor, most: int, chunk: int,
                   block: int) -> tuple[Tensor, Tensor]:
    """The most similar categories of each patch, best first.

    Of equal scores the lowest id comes first, in whatever chunks.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        left_out: Categories that take no part, bool [C].
        most: How many, at most C.
        chunk: Categories at once.
        block: As in ``first_max``.

    Returns:
        tuple: Ids, int64 [B, N, most], and whether there were so many, bool
        [B, N, most].
    """
    shape = (*patch.shape[:2], most)
    scores = patch.new_full(shape, -torch.inf)
    ids = patch.new_zeros(shape, dtype=torch.long)
    for start in range(0, len(text), chunk):
        part = text[start:start + chunk].float()
        product = patch @ F.normalize(part, dim=-1).T
        product = product.masked_fill(left_out[start:start + chunk], -torch.inf)
        for _ in range(min(most, len(part))):
            score, index = first_max(product, block)
            product.scatter_(-1, index[..., None], -torch.inf)
            scores = torch.cat([scores, score[..., None]], -1)
            ids = torch.cat([ids, index[..., None] + start], -1)
        # What came before has the lower ids; a stable sort keeps it there.
        scores, order = scores.sort(dim=-1, descending=True, stable=True)
        scores, ids = scores[..., :most], ids.gather(-1, order[..., :most])
    return ids, scores > -torch.inf
