"""One rule for the weights of a model: all of them fit, or they are refused.

Every route that reads a checkpoint (Runner's ``load_from``, ``resume`` and ``test``,
``Predictor``, mmseg's ``init_model`` and inferencer) ends in the model's own
``_load_from_state_dict``, and that of ``AllWeightsMixin`` asks
``fit_weights``.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

# What a checkpoint may call its weights, where they are not its first level.
NESTED = ('state_dict', 'ema_state_dict', 'model_ema', 'ema', 'model')
# A stock head beside ours is trained only: its weights may be missing from the model.
NOT_NEEDED = ('auxiliary_head.', )
SHOWN = 3  # examples in a message


class WeightsError(ValueError):
    """The weights of a checkpoint do not fit the model."""


def weights_of(checkpoint: Mapping) -> dict[str, Tensor]:
    """The tensors of the state dict in a checkpoint, which may lie some levels down."""
    while True:
        inner = next((checkpoint[key] for key in NESTED
                      if isinstance(checkpoint.get(key), Mapping)), None)
        if inner is None:
            return {key: value for key, value in checkpoint.items()
                    if isinstance(key, str) and isinstance(value, Tensor)}
        checkpoint = inner


def find_prefix(own: Iterable[str], there: Iterable[str]) -> str:
    """What stands in front of a model's keys in a state dict.

    Wrappers leave ``module.``, ``ema.module.``, ``_orig_mod.`` and the like. Of several
    fitting ones the one with most keys counts, and none before any.

    Args:
        own: Keys of the model.
        there: Keys of the state dict.

    Returns:
        str: The prefix; empty if nothing fits.
    """
    own, there = list(own), set(there)
    if any(key in there for key in own):
        return ''
    prefixes = {key[:-len(name)] for key in there for name in own[:1] + own[-1:]
                if key.endswith(f'.{name}')}
    return max(sorted(prefixes), default='',
               key=lambda prefix: sum(prefix + key in there for key in own))


def fit_weights(own: Mapping[str, Tensor], checkpoint: Mapping, *,
                left_over: bool = False) -> dict[str, Tensor]:
    """The weights of a model out of a checkpoint, all of them.

    Args:
        own: The model's state dict.
        checkpoint: A state dict, or a checkpoint that holds one; prefixes of wrappers
            and averaged models are understood.
        left_over: Whether it may hold weights of these parts that the model lacks.

    Returns:
        dict: As ``own``, with the checkpoint's values.

    Raises:
        WeightsError: Weights are missing, have another shape, have no place in the
            model, or are not finite; lists them and says what the checkpoint holds.
    """
    found = weights_of(checkpoint)
    prefix = find_prefix(own, found)
    state = {key.removeprefix(prefix): value for key, value in found.items()
             if key.startswith(prefix)}
    missing = [key for key in own if key not in state]
    unfit = [f'{key} ({_shape(state[key])} there, {_shape(value)} here)'
             for key, value in own.items()
             if key in state and state[key].shape != value.shape]
    parts = {key.partition('.')[0] for key in own} | {'neck', 'decode_head'}
    extra = [] if left_over else [
        key for key in state if key not in own and key.partition('.')[0] in parts
        and not key.startswith(NOT_NEEDED)]
    problems = [f'{len(keys)} {what} ({_some(keys)})' for what, keys in (
        ('are missing', missing), ('have another shape', unfit),
        ('have no place in the model', extra)) if keys]
    if problems:
        raise WeightsError(
            f'this checkpoint belongs to another model: of the {len(own)} weights '
            f'{"; ".join(problems)}. It holds {describe_weights(state)}: use the '
            'config that it was trained with. To start parts from it, give these '
            "init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')")
    weights = {key: state[key] for key in own}
    broken = [key for key, value in weights.items()
              if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise WeightsError(
            f'{len(broken)} of the {len(own)} weights of this checkpoint are NaN or '
            f'infinite ({_some(broken)}): take an earlier one')
    return weights


class AllWeightsMixin(nn.Module):
    """A model that takes all of its weights or none. Put it before the model class."""

    _part_is_wanted = False

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True,
                        *args: Any, **kwargs: Any) -> Any:
        """As in torch; ``strict=False`` there is somebody's wish for a part."""
        self._part_is_wanted = not strict
        try:
            return super().load_state_dict(state_dict, strict, *args, **kwargs)
        finally:
            self._part_is_wanted = False

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Where mmengine's routes, whose own ``strict`` is off, and torch's meet.

        Raises:
            WeightsError: See ``fit_weights``.
        """
        if not self._part_is_wanted:
            there = [key for key in state_dict if key.startswith(prefix)]
            weights = fit_weights(self.state_dict(), {
                key.removeprefix(prefix): state_dict[key] for key in there})
            # In place: the children read the same dict.
            for key in there:
                del state_dict[key]
            state_dict.update({prefix + key: v for key, v in weights.items()})
        super()._load_from_state_dict(state_dict, prefix, *args)


def describe_weights(state: Mapping[str, Tensor]) -> str:
    """What a state dict holds, as far as it is one of a DCPCLIP."""
    facts = []
    patch = state.get('backbone.visual.conv1.weight')
    if patch is not None:
        blocks = {key.split('.')[4] for key in state
                  if key.startswith('backbone.visual.transformer.resblocks.')}
        facts.append(f'a ViT of {len(blocks)} blocks of width {patch.shape[0]} with '
                     f'patches of {patch.shape[-1]} pixels')
    cost = state.get('neck.cost_conv.weight')
    if cost is not None:
        facts.append(f'a neck with cost_dims={cost.shape[0]} and '
                     f'num_templates={cost.shape[1]}')
    layers = {key.split('.')[2] for key in state
              if key.startswith('decode_head.layers.')}
    if layers:
        facts.append(f'a decoder of {len(layers)} layers')
    elif 'decode_head.scale' in state:
        facts.append('a CosineHead')
    return ', '.join(facts) or f'{len(state)} weights of something else'


def digest_of_weights(module: nn.Module) -> str:
    """SHA-256 (hex) over names, types, shapes and contents of all weights."""
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(f'{name} {weight.dtype} {tuple(weight.shape)}\n'.encode())
        # as bytes: numpy has no bfloat16
        content = weight.detach().cpu().contiguous().flatten()
        digest.update(content.view(torch.uint8).numpy())
    return digest.hexdigest()


def _shape(tensor: Tensor) -> str:
    return ' x '.join(map(str, tensor.shape)) or 'a number'


def _some(keys: list[str]) -> str:
    more = f', and {len(keys) - SHOWN} more' if len(keys) > SHOWN else ''
    return ', '.join(keys[:SHOWN]) + more
