"""Weights of a model without those of CLIP, which come from where CLIP's own are.

Training changes neck, head and a few of CLIP's weights; all others are CLIP's, byte for
byte. A safetensors file may leave these out and say in its header whose they are and
what their SHA-256 is. ``read_checkpoint`` completes such a file on every route.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from .. import catalogue
from .backbones import CLIPConvNeXtBackbone, CLIPVisionBackbone
from .clip.loading import published_weights
from .clip.tower import load_towers
from .text_encoders import CLIPTextEncoder
from .weights import WeightsError, digest_of_weights

HEADER = 'clip'  # its key in the file's header
TOWERS = (CLIPVisionBackbone, CLIPConvNeXtBackbone, CLIPTextEncoder)


def clip_sources(model: nn.Module) -> list[dict[str, Any]]:
    """The towers of a model whose weights others can get by their tag.

    Raises:
        ValueError: There is none.
    """
    sources = [_source(name, part) for name, part in model.named_children()
               if isinstance(part, TOWERS) and part.pretrained is not None]
    if not sources:
        raise ValueError('delta: no part of the model has `pretrained` weights of CLIP '
                         'to leave out: save the whole model')
    return sources


def without_clip(model: nn.Module) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """The weights of a model that differ from CLIP's own.

    Args:
        model: A ``DCPCLIP``.

    Returns:
        tuple: State dict of what differs, and for each tower how to get the rest:
        ``part`` of the model, ``type``, ``model_name``, ``pretrained``, perhaps
        ``quick_gelu``, and ``sha256`` of CLIP's weights.

    Raises:
        ValueError: No part has weights of CLIP that others can get by their tag.
        RuntimeError: CLIP's weights cannot be downloaded.
    """
    sources = clip_sources(model)
    state = dict(model.state_dict())
    for source, tower in zip(sources, _load(sources), strict=True):
        source['sha256'] = digest_of_weights(tower)
        for key, value in tower.state_dict().items():
            key = f'{source["part"]}.{key}'
            own = state.get(key)
            if own is not None and own.dtype == value.dtype and torch.equal(
                    own.cpu(), value):
                del state[key]
    return state, sources


def complete(state: Mapping[str, Tensor], sources: list[dict[str, Any]]
             ) -> dict[str, Tensor]:
    """Put CLIP's weights back.

    Args:
        state: As of ``without_clip``.
        sources: Likewise.

    Returns:
        dict: The state dict of the whole model.

    Raises:
        WeightsError: CLIP's weights on this machine are others.
        ValueError: There is no such model or tag.
        RuntimeError: CLIP's weights cannot be downloaded.
    """
    whole: dict[str, Tensor] = {}
    for source, tower in zip(sources, _load(sources), strict=True):
        found = digest_of_weights(tower)
        if found != source['sha256']:
            name = f'{source["model_name"]} {source["pretrained"]}'
            raise WeightsError(
                f'these weights were saved without those of CLIP, and {name} on this '
                f'machine is another ({source["part"]}: SHA-256 {found[:8]}, should be '
                f'{source["sha256"][:8]}): `dcpclip weights {name}` says where it lies '
                'and where to get the right one; or take the model saved whole')
        whole |= {f'{source["part"]}.{k}': v for k, v in tower.state_dict().items()}
    return {**whole, **state}


def header_of(path: str | Path) -> list[dict[str, Any]] | None:
    """What the header of a weight file says of CLIP; None: the file is whole.

    Raises:
        WeightsError: It says something else.
    """
    path = Path(path).expanduser()
    with path.open('rb') as file:
        if file.read(9)[8:] != b'{':
            return None
    with safe_open(path, 'pt') as archive:
        text = (archive.metadata() or {}).get(HEADER)
    if text is None:
        return None
    kinds = [kind.__name__ for kind in TOWERS]
    try:
        sources = json.loads(text)
        for source in sources:
            if source['type'] not in kinds:
                raise ValueError(f'type {source["type"]!r}')
            for key in ('part', 'model_name', 'pretrained', 'sha256'):
                if not isinstance(source[key], str):
                    raise ValueError(f'{key} {source[key]!r}')
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f'the header of {path} says nothing usable about CLIP ({error}); it was '
            'made by another version, or changed: take the model saved whole'
        ) from error
    return sources


def _source(name: str, part: nn.Module) -> dict[str, Any]:
    """How to get CLIP's weights of a part.

    Raises:
        ValueError: They lie in a file that only this machine has.
    """
    kind = next(kind for kind in TOWERS if isinstance(part, kind))
    model_name, pretrained = str(part.model_name), str(part.pretrained)
    if ((model_name, pretrained) not in catalogue.CLIP_WEIGHTS
            and published_weights(model_name, pretrained) is None):
        raise ValueError(
            f'delta: the weights of CLIP are the file {pretrained}, which others do '
            f"not have: name their tag (model.{name}.pretrained='openai', see `dcpclip "
            f'weights {model_name}`), or save the whole model')
    source: dict[str, Any] = dict(part=name, type=kind.__name__,
                                  model_name=model_name, pretrained=pretrained)
    if kind is not CLIPConvNeXtBackbone and part.quick_gelu_option is not None:
        source['quick_gelu'] = part.quick_gelu_option
    return source


def _load(sources: list[dict[str, Any]]) -> list[nn.Module]:
    """Towers with the weights of their tags, as they were before any training."""
    towers: list[nn.Module] = []
    for source in sources:
        kind = next(kind for kind in TOWERS if kind.__name__ == source['type'])
        options: dict[str, Any] = {key: source[key] for key in (
            'model_name', 'pretrained', 'quick_gelu') if key in source}
        if kind is not CLIPTextEncoder:
            options['out_indices'] = ()
        towers.append(kind(**options))
    load_towers(*towers)
    return towers
