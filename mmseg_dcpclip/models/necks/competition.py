"""Which share of a place each selected category has; not in the paper."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..structures import CLIPFeatures, Pairs, per_pair
from .cost_volume import cost_volume


def rival_logits(features: CLIPFeatures, mean: Tensor, pairs: Pairs, scale: float
                 ) -> Tensor:
    """What an image's selected categories have together at each place.

    Args:
        features: F_patch [B, N, D] on a grid of h x w.
        mean: Unit embeddings, [M, D].
        pairs: All M pairs of these images.
        scale: Factor on the cosines.

    Returns:
        Tensor: Logarithm of the sum of their exponentials, [B, h, w].
    """
    patch = F.normalize(features.patch, dim=-1)
    mean = mean.to(patch.dtype)
    if pairs.valid is None:
        total = torch.stack([(scale * p @ words.T).logsumexp(-1)
                             for p, words in zip(patch, mean.split(pairs.counts))])
    else:
        words = mean.view(*pairs.valid.shape, -1)
        scores = scale * patch @ words.transpose(1, 2)
        total = scores.masked_fill(~pairs.valid[:, None], -torch.inf).logsumexp(-1)
    return total.unflatten(1, features.grid)


def log_shares(features: CLIPFeatures, mean: Tensor, pairs: Pairs, scale: float,
               rivals: Tensor) -> Tensor:
    """Logarithm of the softmax over an image's selected categories at each place.

    Args:
        features, mean, pairs, scale: As there; of some of the pairs.
        rivals: ``rival_logits`` of all.

    Returns:
        Tensor: [M, 1, h, w].
    """
    own = cost_volume(features, mean[:, None], pairs)
    return scale * own - per_pair(rivals, pairs.image)[:, None]
