"""Regions of a label map on the grid of the patches."""

import torch
from torch import Tensor


def region_counts(seg_map: Tensor, categories: Tensor, grid: tuple[int, int]) -> Tensor:
    """Pixels of each category's region in each cell of a grid.

    Args:
        seg_map: Category ids, int64 [H, W].
        categories: Ids that occur in the map, sorted, [K].
        grid: Rows and columns.

    Returns:
        Tensor: int64 [K, rows * columns].
    """
    (height, width), (rows, columns) = seg_map.shape, grid
    y = torch.arange(height, device=seg_map.device) * rows // height
    x = torch.arange(width, device=seg_map.device) * columns // width
    cell = y[:, None] * columns + x[None, :]
    region = torch.searchsorted(categories, seg_map.flatten())
    region = region.clamp(max=len(categories) - 1)
    inside = categories[region] == seg_map.flatten()
    # neither bincount nor indexing by a mask: they make the host wait for the device
    counts = torch.zeros(len(categories) * rows * columns, dtype=torch.long,
                         device=seg_map.device)
    counts.index_add_(0, region * rows * columns + cell.flatten(), inside.long())
    return counts.view(len(categories), -1)


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
    rows, columns = feats.shape[1:]
    counts = region_counts(seg_map, categories, (rows, columns)).to(torch.float32)
    return counts @ feats.flatten(1).float().T / counts.sum(1, keepdim=True)


def region_patches(seg_map: Tensor, categories: Tensor, grid: tuple[int, int]
                   ) -> Tensor:
    """Which patches belong to each category's region.

    Those that it fills at least half; where there is none, those that it fills most.

    Args:
        seg_map: Category ids, int64 [H, W].
        categories: Ids that occur in the map, sorted, [K].
        grid: Rows and columns of patches.

    Returns:
        Tensor: bool [K, rows * columns], each with one at least.
    """
    counts = region_counts(seg_map, categories, grid)
    pixels = region_counts(torch.zeros_like(seg_map), categories.new_zeros(1), grid)
    filled = (2 * counts >= pixels) & (counts > 0)
    most = counts == counts.amax(1, keepdim=True)
    return torch.where(filled.any(1, keepdim=True), filled, most)
