"""Which patches belong together: weights between all patches of a picture."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import at_least_float32, without_autocast


def cosines(x: Tensor) -> Tensor:
    """Cosine of all pairs of patches.

    Args:
        x: Patches [B, N, W]; in half precision, and under autocast, it is computed in
            float32, since what follows compares with thresholds.

    Returns:
        Tensor: float32 or wider, [B, N, N].
    """
    with without_autocast(x):
        x = F.normalize(at_least_float32(x), dim=-1)
        return x @ x.transpose(1, 2)


def sharpen(similarity: Tensor, scale: float, shift: float = 1.0) -> Tensor:
    """Attention weights of similarities: softmax(scale (S - shift mean S)).

    Negative entries weigh nothing (ProxyCLIP, arXiv 2408.04883). A patch always sees
    itself, so that one that is like no other has weights, too.

    Args:
        similarity: S, [B, N, N].
        scale: What they are multiplied by.
        shift: Share of the mean that is taken off first.

    Returns:
        Tensor: Rows that sum to 1, [B, N, N].
    """
    scores = scale * (similarity - shift * similarity.mean((1, 2), keepdim=True))
    return scores.masked_fill((scores < 0) & ~itself(scores), -torch.inf).softmax(-1)


def itself(pairs: Tensor) -> Tensor:
    """Where in [..., N, N] a patch meets itself, bool [N, N]."""
    places = torch.arange(pairs.shape[-1], device=pairs.device)  # ONNX lacks a bool eye
    return places[:, None] == places


def coherence(similarity: Tensor, floor: float) -> Tensor:
    """Weights that average a patch with those that are like it.

    Args:
        similarity: Cosines [B, N, N].
        floor: Below it a patch does not count.

    Returns:
        Tensor: Rows that sum to 1, [B, N, N].
    """
    kept = similarity.masked_fill(similarity < floor, 0)
    return kept / kept.sum(-1, keepdim=True)


def gaussian_window(grid: tuple[int, int], sigma: float, like: Tensor) -> Tensor:
    """exp(-|p_i - p_j|^2 / (2 sigma^2)) for patches at p_i and p_j.

    Args:
        grid: Rows and columns of patches.
        sigma: In patches.
        like: Gives dtype and device.

    Returns:
        Tensor: [N, N], patches row by row.
    """
    sides = []
    for length in grid:  # a product of rows and columns: few numbers to compute
        place = torch.arange(length, device=like.device, dtype=torch.float32)
        sides.append((-(place[:, None] - place).square() / (2 * sigma**2)).exp())
    rows, columns = sides
    window = rows[:, None, :, None] * columns[None, :, None, :]
    return window.flatten(2).flatten(0, 1).to(like.dtype)


def weigh(weights: Tensor, v: Tensor) -> Tensor:
    """The same weights applied to the values of every head.

    Args:
        weights: [B, N, N].
        v: [B, heads, N, d].

    Returns:
        Tensor: [B, heads, N, d].
    """
    joined = v.transpose(1, 2).flatten(2)
    return (weights.to(v.dtype) @ joined).unflatten(
        -1, (v.shape[1], v.shape[3])).transpose(1, 2)
