"""Finds and reads CLIP weights in the forms that are around.

A model is named as in open_clip ('ViT-B-16', 'ViT-L-14-336'), its weights by a
pretrained tag of open_clip ('openai', 'laion2b_s34b_b88k'), by a model on Hugging Face
('hf-hub:ORG/NAME') or by a file in open_clip's or OpenAI's form. Nothing touches the
network before ``load_clip_weights`` is called with a name whose weights are not on
this machine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from torch import Tensor

from ... import catalogue
from ..weight_files import read_weight_file
from ..weights import weights_of
from .published import (
    HUB,
    PublishedWeights,
    hub_weights,
    quick_gelu_of_file,
    tag_weights,
)

# Scalars that OpenAI's state dicts carry and no other form does.
OPENAI_KEYS = ('input_resolution', 'context_length', 'vocab_size')


@dataclass
class CLIPWeights:
    """What a CLIP checkpoint holds.

    Attributes:
        visual: State dict of the image tower, keys without prefix.
        text: State dict of the text tower, keys without prefix.
        logit_scale: exp of the learned scale (100 for OpenAI's models).
        quick_gelu: Whether these weights were trained with QuickGELU.
        source: Tag or file, for messages.
    """
    visual: dict[str, Tensor]
    text: dict[str, Tensor]
    logit_scale: float
    quick_gelu: bool
    source: str


def clip_config(model_name: str, tower: str = 'visual') -> dict:
    """The architecture of a CLIP model.

    Args:
        model_name: A name of open_clip, ``'mini-ViT-8'``, or a path of an
            open_clip model config (``.json``).
        tower: ``'visual'`` or ``'text'``: which tower must be one that this package
            knows, a ViT with a [CLS] token or a causal text transformer.

    Returns:
        dict: open_clip's model config (``embed_dim``, ``vision_cfg``,
        ``text_cfg``, sometimes ``quick_gelu``).

    Raises:
        ValueError: There is no such model, or the tower is of another kind.
    """
    if model_name in catalogue.CLIP_MODELS or model_name.endswith('.json'):
        path = Path(catalogue.CLIP_MODELS.get(model_name, model_name))
        if not path.is_file():
            raise ValueError(f'no such CLIP model config: {path}')
        config = json.loads(path.read_text(encoding='utf-8'))
    else:
        config = open_clip.get_model_config(model_name)
    if config is None:
        raise ValueError(
            f'open_clip has no model {model_name!r}; its ViTs: ' +
            ', '.join(n for n in open_clip.list_models() if n.startswith('ViT-')))
    vision, text = config['vision_cfg'], config['text_cfg']
    unfit = [key for key in ('hf_model_name', 'embed_cls', 'no_causal_mask')
             if text.get(key)]
    if tower == 'visual':
        unfit += [key for key in ('timm_model_name', 'attentional_pool',
                                  'final_ln_after_pool') if vision.get(key)]
        if not unfit and (not isinstance(vision.get('layers'), int)
                          or vision.get('pool_type', 'tok') != 'tok'):
            unfit.append('image tower')
    if unfit:
        raise ValueError(
            f'{model_name!r} is not a CLIP ViT with a [CLS] token and a causal text '
            f'transformer ({", ".join(unfit)}); use a ViT-* model')
    return config


def build_tower(model_name: str, tower: str, quick_gelu: bool) -> torch.nn.Module:
    """Build one tower of a CLIP model with random weights.

    Args:
        model_name: As in ``clip_config``.
        tower: ``'visual'`` or ``'text'``.
        quick_gelu: Activation of the MLPs.

    Returns:
        nn.Module: open_clip's ``VisionTransformer`` (or ``TimmModel``) or
        ``TextTransformer``.
    """
    config = clip_config(model_name, tower='text')
    vision, text = dict(config['vision_cfg']), dict(config['text_cfg'])
    # The other tower is built as small as can be and dropped.
    if tower == 'visual':
        text = dict(context_length=1, vocab_size=1, width=8, heads=1, layers=1)
    else:
        vision = dict(image_size=1, patch_size=1, width=8, head_width=8, layers=1)
    clip = open_clip.CustomTextCLIP(
        embed_dim=config['embed_dim'], vision_cfg=vision, text_cfg=text,
        quick_gelu=quick_gelu)
    return getattr(clip, tower)


def wants_quick_gelu(model_name: str) -> bool:
    """Whether the model's own config asks for QuickGELU."""
    return bool(clip_config(model_name, tower='text').get('quick_gelu', False))


def load_clip_weights(model_name: str, pretrained: str,
                      quick_gelu: bool | None = None) -> CLIPWeights:
    """Read CLIP weights from a tag or a file.

    Args:
        model_name: As in ``clip_config``.
        pretrained: A pretrained tag of open_clip, one of the catalogue
            (``'miniworld'``), ``'hf-hub:ORG/NAME'`` of Hugging Face, or a path of a
            file: open_clip's or OpenAI's form, as ``read_weight_file`` takes it.
        quick_gelu: The activation the weights were trained with. None: known from
            the tag, from a config beside the file, from OpenAI's form, or from the
            model's config.

    Returns:
        CLIPWeights: Both towers in float32.

    Raises:
        FileNotFoundError: A path is given and there is no such file.
        ValueError: There is no such tag, the file is not that of the tag or holds no
            CLIP weights, or nothing tells their activation.
        RuntimeError: The weights of a tag cannot be downloaded.
    """
    path, source = locate_weights(model_name, pretrained)
    if quick_gelu is None:
        quick_gelu = _known_quick_gelu(model_name, path, source)
    state, from_openai = _read(path)
    if quick_gelu is None:
        quick_gelu = from_openai or wants_quick_gelu(model_name)

    visual = {k[7:]: v.float() for k, v in state.items() if k.startswith('visual.')}
    text = {(k[5:] if k.startswith('text.') else k): v.float()
            for k, v in state.items()
            if not k.startswith('visual.') and k not in ('logit_scale', 'logit_bias')}
    if (not visual or 'token_embedding.weight' not in text
            or 'logit_scale' not in state):
        raise ValueError(
            f'{path} holds no CLIP weights: expected keys visual.*, token_embedding.'
            f'weight and logit_scale, found {", ".join(list(state)[:3]) or "none"}')
    scale = float(torch.as_tensor(state['logit_scale']).float().exp())
    return CLIPWeights(visual, text, scale, quick_gelu, str(pretrained))


def published_weights(model_name: str, pretrained: str) -> PublishedWeights | None:
    """The weights that a name means.

    Args:
        model_name: As in ``clip_config``.
        pretrained: As in ``load_clip_weights``.

    Returns:
        PublishedWeights | None: None for a file or weights of the catalogue.

    Raises:
        ValueError: There is no such tag.
    """
    if (model_name, pretrained) in catalogue.CLIP_WEIGHTS:
        return None
    if pretrained.startswith(HUB):
        return hub_weights(pretrained)
    path = Path(pretrained).expanduser()
    if path.is_file() or path.suffix or len(path.parts) > 1:
        return None
    source = tag_weights(model_name, pretrained)
    if source is None:
        tags = open_clip.list_pretrained_tags_by_model(model_name)
        tags += [tag for name, tag in catalogue.CLIP_WEIGHTS if name == model_name]
        raise ValueError(
            f'{model_name} has no pretrained weights {pretrained!r}; known: '
            f'{", ".join(tags) or "none"}, or {HUB}ORG/NAME, or a path of a file')
    return source


def fitting_weights() -> list[tuple[str, str, PublishedWeights]]:
    """(model, tag, weights) of open_clip whose model this package knows."""
    found = []
    for model_name in open_clip.list_models():
        tags = open_clip.list_pretrained_tags_by_model(model_name)
        try:
            if tags:
                clip_config(model_name)
        except ValueError:
            continue
        for tag in tags:
            source = tag_weights(model_name, tag)
            if source:
                found.append((model_name, tag, source))
    return found


def locate_weights(model_name: str,
                   pretrained: str) -> tuple[Path, PublishedWeights | None]:
    """Path of the weights, downloaded if need be, and what is known by their name.

    Raises:
        As ``load_clip_weights`` does.
    """
    source = published_weights(model_name, pretrained)
    if source is None:
        path = Path(catalogue.CLIP_WEIGHTS.get((model_name, pretrained), pretrained)
                    ).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'no such file with CLIP weights: {pretrained}')
        return path, None
    found = source.find()
    if found is None:
        return source.fetch(), source
    if found == source.url_file:  # as open_clip does on each loading
        source.verify(found)
    return found, source


def _known_quick_gelu(model_name: str, path: Path,
                      source: PublishedWeights | None) -> bool | None:
    """What is known of the activation before the file is read."""
    if source is not None:
        known = source.activation()
        if known is None and not wants_quick_gelu(model_name):
            raise ValueError(
                f'nothing says whether the weights {source.name} were trained with '
                'QuickGELU: give the model quick_gelu=True or False')
        return known
    return True if wants_quick_gelu(model_name) else quick_gelu_of_file(path)


def _read(path: Path) -> tuple:
    """State dict of a file, and whether it has OpenAI's form."""
    return _drop_openai_keys({
        key.removeprefix('module.'): value
        for key, value in weights_of(read_weight_file(path)).items()})


def _drop_openai_keys(state: Mapping[str, Tensor]) -> tuple:
    from_openai = all(key in state for key in OPENAI_KEYS)
    return {k: v for k, v in state.items() if k not in OPENAI_KEYS}, from_openai
