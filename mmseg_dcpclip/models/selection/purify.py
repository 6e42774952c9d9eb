"""A selection that can say no (FreeCP, arXiv 2508.00557; TagCLIP, arXiv 2312.12828)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..structures import first_equal
from .scores import BLOCK, MAX_SCORES, chunk_of, first_max, parts_of


def select_pure(patch: Tensor, text: Tensor, attention: Tensor, grid: tuple[int, int],
                *, purity: float = 0.1, overlap: float = 0.85, scale: float = 100.0,
                box: float | None = None, first: Tensor | None = None,
                max_scores: int = MAX_SCORES, block: int = BLOCK) -> Tensor:
    """Select the words whose maps hold together (FreeCP, arXiv 2508.00557).

    a is a word's map of probabilities (softmax of ``scale`` times the cosine, over the
    words), scaled to 0..1; r is a carried along CLIP's own attention (T a, see
    ``transition``, as TagCLIP, arXiv 2312.12828, refines its maps), scaled likewise. A
    word that is in the picture keeps its place in r; one that won stray patches does
    not. Its purity is sum(a r) / (sum a + sum r), from 0 to 0.5.

    Words stay whose purity exceeds ``purity`` and whose r does not overlap with that of
    a purer one. FreeCP asks CLIP about a crop which of two such words it is; here the
    purer one stays, which needs no further pass of the encoder. Candidates are the
    words that are the best of a patch: no other could win there.

    Memory is B x N x N beside the scores, whatever C is; nothing waits for the device.

    Args:
        patch: F_patch, [B, N, D]; need not have unit length.
        text: E_t averaged over templates, [C, D].
        attention: ``CLIPFeatures.mean_attention``, [B, N, N].
        grid: Rows and columns of the N patches.
        purity: Least purity, in [0, 1]. Where no word has it the purest one stays.
        overlap: Of words whose maps overlap as much (sum(r s) / (sum r^2 + sum s^2 -
            sum(r s)), in [0, 1]) the purest stays.
        scale: Factor on the cosine.
        box: r counts inside the box of the patches with a above it, as FreeCP has it
            (0.4); None: everywhere.
        first: What ``first_equal`` gives for ``text``; None: it is looked for here.
        max_scores: Scores of patches and categories held at once; changes no result.
        block: Categories whose maximum is taken at once; changes no result.

    Returns:
        Tensor: bool [B, C], at least one of each image.

    Raises:
        ValueError: A threshold outside [0, 1].
    """
    check_purify(purity, overlap, box)
    patch = F.normalize(patch.float(), dim=-1)
    best, total = _best_and_total(patch, text, scale,
                                  chunk_of(patch, text, max_scores, block), block)
    best = (first_equal(text) if first is None else first)[best]
    # One map per patch, that of its best word, so a word comes as often as it wins:
    # shapes do not depend on the picture.
    own = F.normalize(text[best].float(), dim=-1)
    a = scale_maps((scale * own @ patch.transpose(1, 2) - total[:, None]).exp())
    r = a @ transition(attention)  # symmetric
    if box is not None:
        r = r * boxes((a > box).unflatten(-1, grid)).flatten(-2)
    r = scale_maps(r)
    pure = (a * r).sum(-1) / (a.sum(-1) + r.sum(-1))  # [B, N]

    most = pure.amax(1, keepdim=True)
    purest = best.masked_fill(pure < most, text.shape[0]).amin(1, keepdim=True)
    kept = (pure > purity) | (best == purest)
    product = r @ r.transpose(1, 2)
    square = product.diagonal(dim1=1, dim2=2)
    shared = product / (square[:, :, None] + square[:, None] - product)
    better = (pure[:, :, None] < pure[:, None]) | (
        (pure[:, :, None] == pure[:, None]) & (best[:, :, None] > best[:, None]))
    loses = (shared >= overlap) & better & kept[:, None] & (
        best[:, :, None] != best[:, None])
    kept = kept & ~loses.any(-1)
    count = torch.zeros(patch.shape[0], text.shape[0], dtype=torch.int,
                        device=text.device)
    return count.scatter_add_(1, best, kept.int()) > 0


def check_purify(purity: float, overlap: float, box: float | None) -> None:
    """Refuse thresholds that mean nothing.

    Raises:
        ValueError: One of them lies outside [0, 1].
    """
    for name, value in (('purity', purity), ('overlap', overlap), ('box', box)):
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f'{name} must lie in [0, 1], got {value}')


def transition(attention: Tensor, steps: int = 3) -> Tensor:
    """How much patches have to do with each other, by CLIP's own attention.

    The attention is made doubly stochastic (Sinkhorn), symmetric, and squared.

    Args:
        attention: Positive, [B, N, N] (query, key).
        steps: Of columns and rows divided by their sums.

    Returns:
        Tensor: float32 [B, N, N], symmetric.
    """
    x = attention.float()
    for _ in range(steps):
        x = x / x.sum(-2, keepdim=True)
        x = x / x.sum(-1, keepdim=True)
    x = (x + x.transpose(-2, -1)) / 2
    return x @ x


def scale_maps(maps: Tensor) -> Tensor:
    """Scale each map [..., N] to 0..1; one that is the same everywhere becomes 1."""
    low, high = maps.aminmax(dim=-1, keepdim=True)
    return torch.where(high > low, (maps - low) / (high - low), 1.0)


def boxes(inside: Tensor) -> Tensor:
    """Fill the smallest box around the true places of each map, bool [..., h, w]."""
    return _span(inside.any(-1))[..., None] & _span(inside.any(-2))[..., None, :]


def _span(line: Tensor) -> Tensor:
    """From the first to the last true place, bool [..., n]."""
    count = line.long()
    return (count.cumsum(-1) > 0) & (count.flip(-1).cumsum(-1).flip(-1) > 0)


def _best_and_total(patch: Tensor, text: Tensor, scale: float, chunk: int | None,
                    block: int) -> tuple[Tensor, Tensor]:
    """Each patch's best category, and the logarithm of the softmax's denominator.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        scale: Factor on the cosine.
        chunk: Categories at once; None: all.
        block: As in ``first_max``.

    Returns:
        tuple: int64 [B, N] and float32 [B, N].
    """
    best = score = total = patch.new_empty(0)
    for start, part in parts_of(text, chunk):
        logits = scale * patch @ F.normalize(part.float(), dim=-1).T
        high, index = first_max(logits, block)
        sums = logits.logsumexp(-1)
        if not start:  # an exported graph's only part: logaddexp overflows in ONNX
            best, score, total = index, high, sums
            continue
        total = torch.logaddexp(total, sums)
        best = torch.where(high > score, index + start, best)
        score = torch.maximum(high, score)
    return best, total
