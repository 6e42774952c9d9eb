"""Patches whose tokens fit to no others, and what to put in their place."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracing import fixed, size_of
from .affinity import itself
from .layers import at_least_float32, without_autocast

TIE = 1e-5  # factors whose relative difference is smaller are equal


def local_outlier_factors(x: Tensor, neighbours: int) -> Tensor:
    """How much sparser the surroundings of each patch are than those of its neighbours.

    With squared distances; the density at a patch is 1 / mean reach of its
    neighbours, and a reach is at least the patch's own distance to the last of them
    (SC-CLIP, arXiv 2411.15869). The classic factor takes the neighbour's instead.

    Args:
        x: Patches of several pictures, [B, N, W]; computed in float32.
        neighbours: How many count, without the patch itself; at most N - 1 do.

    Returns:
        Tensor: Without gradients, float32 [B, N]; about 1 for an ordinary patch.
    """
    number = torch.sym_max(torch.sym_min(neighbours, size_of(x, 1) - 1), 1)
    with torch.no_grad(), without_autocast(x):
        x = at_least_float32(x)
        x = x - x.mean(1, keepdim=True)  # same distances, less rounding
        squares = x.square().sum(-1)
        distances = (squares[:, :, None] + squares[:, None]
                     - 2 * x @ x.transpose(1, 2))
        nearest, index = distances.masked_fill(itself(distances), torch.inf).topk(
            number, largest=False)
        # No neighbour is farther than the last, so every reach is its distance.
        reach = nearest[..., -1].clamp(min=torch.finfo(x.dtype).eps)
        density = 1 / reach
        around = density.gather(1, index.flatten(1)).unflatten(1, (-1, number))
        return around.mean(-1) / density


def find_outliers(x: Tensor, neighbours: int, share: float) -> Tensor:
    """Patches with an outlier factor above the (1 - share) quantile of their picture.

    Args:
        x: Patches, [B, N, W].
        neighbours: As in ``local_outlier_factors``.
        share: Of the patches of a picture, 0 to 1.

    Returns:
        Tensor: bool [B, N]; of 196 patches and a share of 0.05 ten are true.
    """
    number = size_of(x, 1)
    if number == 1:
        return torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
    factors = local_outlier_factors(x, neighbours)
    # What lies above this place in the order lies above the interpolated quantile.
    quantile = factors.sort(1).values.index_select(1, _place(number, share, x.device))
    # Where all others are neighbours the two that are farthest apart are equal, and
    # rounding must not choose between them.
    return factors > quantile * (1 + TIE)


def _place(number: int, share: float, device: torch.device) -> Tensor:
    """floor((1 - share) (number - 1)), int64 [1]."""
    if fixed(number):
        return torch.tensor([math.floor((1 - share) * (number - 1))], device=device)
    last = torch.scalar_tensor(number - 1, dtype=torch.float64, device=device)
    return ((1 - share) * last).floor().long()[None]


def fill_from_neighbours(x: Tensor, missing: Tensor, grid: tuple[int, int]) -> Tensor:
    """Replace some patches by the mean of their 3 x 3 neighbours that are not missing.

    Args:
        x: Patches row by row, [B, N, W].
        missing: Those to be replaced, bool [B, N].
        grid: Rows and columns.

    Returns:
        Tensor: [B, N, W]; a patch with no neighbour to take from stays as it is.
    """
    there = (~missing).unflatten(1, grid)[:, None].to(x.dtype)
    maps = x.transpose(1, 2).unflatten(2, grid)
    number = F.avg_pool2d(there, 3, 1, 1)  # a ninth of it, below as well
    means = F.avg_pool2d(maps * there, 3, 1, 1) / number.clamp(min=0.1)
    replace = missing.unflatten(1, grid)[:, None] & (number > 0)
    return torch.where(replace, means, maps).flatten(2).transpose(1, 2)
