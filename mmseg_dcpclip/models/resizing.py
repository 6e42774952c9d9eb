"""Bilinear resizing of category maps."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resizing of [M, h, w] or [B, C, h, w] in float32."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps.float()
    batched = maps if maps.ndim == 4 else maps[:, None]
    return F.interpolate(batched.float(), tuple(size), mode='bilinear',
                         align_corners=False).view(*maps.shape[:-2], *size)
