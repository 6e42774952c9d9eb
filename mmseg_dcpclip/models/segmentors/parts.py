"""Neck and head on some of the pairs, as they are or by torch.compile."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip.features import CLIPFeatures
from ..selection import Pairs


def decode_part(neck: nn.Module, head: nn.Module, features: CLIPFeatures, text: Tensor,
                pairs: Pairs, tokens: Tensor | None, maps: list) -> Tensor:
    """Logits of some of the images' pairs.

    Args:
        neck: As ``TextGuidedAlignment``.
        head: As ``SpatialEnhancedDecoder``.
        features: CLIP's view of the images.
        text: Unit embeddings of the pairs' categories, [M, P, D].
        pairs: M pairs.
        tokens: ``neck.image_tokens`` of all pairs of these images.
        maps: ``head.image_maps`` of these images.

    Returns:
        Tensor: [M, h, w].
    """
    return head(features, neck(features, text, pairs, tokens), pairs, maps)


@lru_cache
def _compiled(**options) -> Callable:
    # A plain function: a copy of a model must run its own weights.
    return torch.compile(decode_part, dynamic=False, **options)


def decode_compiled(neck: nn.Module, head: nn.Module, features: CLIPFeatures,
                    text: Tensor, pairs: Pairs, tokens: Tensor | None, maps: list, *,
                    bucket: int = 8, **options) -> Tensor:
    """:func:`decode_part` of one image by torch.compile.

    The pairs are filled up to a multiple of ``bucket``, so that few numbers of them
    are compiled; the others' logits do not change.

    Args:
        neck, head, features, text, pairs, tokens, maps: As there, of one image.
        bucket: Pairs are rounded up to a multiple of it.
        **options: Of torch.compile.

    Returns:
        Tensor: [M, h, w].
    """
    extra = -len(pairs) % bucket
    padded = Pairs(F.pad(pairs.image, (0, extra)), F.pad(pairs.category, (0, extra)),
                   [len(pairs) + extra])
    text = torch.cat([text, text[-1:].expand(extra, -1, -1)])
    logits = _compiled(**options)(neck, head, features, text, padded, tokens, maps)
    return logits[:len(pairs)]
