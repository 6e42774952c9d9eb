"""CLIP's [CLS] that sees one region alone (CorrCLIP, arXiv 2411.10086)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def region_class_tokens(blocks: Iterable[Any], x: Tensor, regions: Tensor) -> Tensor:
    """Class tokens of regions, all of them in one pass through the blocks.

    Each region has a copy of [CLS] that attends to itself and to the region's patches,
    in every block. [CLS] and the patches evolve as without the copies, which they do
    not see.

    Args:
        blocks: open_clip's blocks, whose attention is a ``CLIPAttention``.
        x: [CLS] and patches before the first block, [B, 1 + N, W].
        regions: Which patches are a region's, bool [B, K, N].

    Returns:
        Tensor: [B, K, W].
    """
    length, number = x.shape[1], regions.shape[1]
    total = length + number
    sees = regions.new_zeros(len(x), total, total)
    sees[:, :length, :length] = True
    sees[:, length:, 1:length] = regions
    sees[:, length:, length:] = torch.eye(number, dtype=torch.bool, device=x.device)
    mask = x.new_zeros(sees.shape).masked_fill(~sees, -torch.inf)[:, None]
    x = torch.cat([x, x[:, :1].expand(-1, number, -1)], 1)
    for block in blocks:
        x = block(x, attn_mask=mask)
    return x[:, length:]
