"""Neck and head on the selected pairs, some at a time, or compiled."""

from collections.abc import Mapping
from functools import partial
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip.checkpointing import run_block
from ..protocol import CategoryHead, CategoryNeck
from ..structures import CLIPFeatures, Pairs, TextEmbeddings, take_images
from .compiling import compiled

# Places of category maps decoded at once: on a CPU its caches decide, on a GPU how long
# the host takes to launch a part.
MAX_PLACES = dict(cpu=2**13, cuda=2**17)
# In training so many that what an image usually selects is computed once: 24 categories
# of ViT-B/16 at 384 pixels, eight crops of the small world.
MAX_TRAINED_PLACES = dict(cpu=2**14, cuda=2**17)


def decode_pairs(neck: CategoryNeck, head: CategoryHead, features: CLIPFeatures,
                 text: TextEmbeddings, pairs: Pairs, *, max_places: int | None = None,
                 compile_options: Mapping[str, Any] | None = None) -> Tensor:
    """Logits of pairs (Eq. 6-16).

    Some pairs at a time bound the memory; what the categories of an image share is
    prepared once from all of them, so the parts equal the whole. With gradients the
    graph keeps what the last part computes, whose backward pass is the first; the
    others are computed again when theirs comes.

    Args:
        neck: The neck.
        head: The head.
        features: The encoder's view of B images.
        text: Embeddings of the vocabulary.
        pairs: All M pairs of these images.
        max_places: Pairs times patches at once; None: as suits the device.
        compile_options: Of ``decode_compiled``; None: not compiled.

    Returns:
        Tensor: [M, h, w].
    """
    mean = text.mean[pairs.category].float()
    from_neck = neck.prepare(features, mean, pairs)
    from_head = head.prepare(features)
    training = torch.is_grad_enabled()
    compiling = compile_options is not None and not training
    usual = MAX_TRAINED_PLACES if training else MAX_PLACES
    places = max_places or usual['cuda' if mean.is_cuda else 'cpu']
    most = max(1, places // features.patch.shape[1])
    if training:  # parts alike: the largest one decides the memory
        most = max(1, ceil(len(pairs) / ceil(len(pairs) / most)))
    if neck.needs_all:
        most = max(most, *pairs.counts)
    decode = (partial(decode_compiled, **(compile_options or {})) if compiling
              else decode_part)
    parts, start = [], 0
    for images, part in pairs.split(most, mixed=not compiling):
        stop = start + len(part)
        words = (text.rows(part.category) if neck.uses_templates
                 else mean[start:stop, None])
        parts.append(run_block(decode, neck, head, features[images], words, part,
                               take_images(from_neck, images),
                               take_images(from_head, images),
                               with_cp=training and stop < len(pairs)))
        start = stop
    return torch.cat(parts)


def decode_part(neck: CategoryNeck, head: CategoryHead, features: CLIPFeatures,
                text: Tensor, pairs: Pairs, from_neck: Any, from_head: Any) -> Tensor:
    """Logits of some of the images' pairs.

    Args:
        neck: The neck.
        head: The head.
        features: The encoder's view of the images.
        text: Unit embeddings of the pairs' categories, [M, P, D].
        pairs: M pairs.
        from_neck: What ``neck.prepare`` gave for all pairs of these images.
        from_head: What ``head.prepare`` gave for these images.

    Returns:
        Tensor: [M, h, w].
    """
    return head(features, neck(features, text, pairs, from_neck), pairs, from_head)


def decode_compiled(neck: CategoryNeck, head: CategoryHead, features: CLIPFeatures,
                    text: Tensor, pairs: Pairs, from_neck: Any, from_head: Any, *,
                    bucket: int = 8, **options: Any) -> Tensor:
    """``decode_part`` of one image by torch.compile.

    The pairs are filled up to a multiple of ``bucket``, so that few numbers of them
    are compiled; the others' logits do not change.

    Args:
        neck, head, features, text, pairs, from_neck, from_head: As there, of one image.
        bucket: Pairs are rounded up to a multiple of it.
        **options: Of torch.compile.

    Returns:
        Tensor: [M, h, w].
    """
    extra = -len(pairs) % bucket
    padded = Pairs(F.pad(pairs.image, (0, extra)), F.pad(pairs.category, (0, extra)),
                   [len(pairs) + extra])
    text = torch.cat([text, text[-1:].expand(extra, -1, -1)])
    run = compiled(decode_part, dynamic=False, **options)
    logits = run(neck, head, features, text, padded, from_neck, from_head)
    return logits[:len(pairs)]
