"""The cost volume between patches and selected categories (inside Eq. 6)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..structures import CLIPFeatures, Pairs


def cost_volume(features: CLIPFeatures, text: Tensor, pairs: Pairs) -> Tensor:
    """Cosine of every patch and every prompt of the selected categories (in Eq. 6).

    Args:
        features: F_patch [B, N, D] on a grid of h x w.
        text: Unit embeddings of the selected categories, [M, P, D].
        pairs: M pairs.

    Returns:
        Tensor: [M, P, h, w] in memory format channels_last.
    """
    patch = F.normalize(features.patch, dim=-1)
    # One product per image: pairs of different images share nothing.
    if pairs.valid is None:
        volume = torch.cat([torch.matmul(p, t.to(p.dtype).transpose(1, 2))
                            for p, t in zip(patch, text.split(pairs.counts))])
    else:
        shape, number = pairs.valid.shape, text.shape[1]
        words = text.to(patch.dtype).view(shape[0], shape[1] * number, -1)
        volume = (patch @ words.transpose(1, 2)).unflatten(2, (shape[1], number))
        volume = volume.transpose(1, 2).flatten(0, 1)
    return volume.unflatten(1, features.grid).permute(0, 3, 1, 2)
