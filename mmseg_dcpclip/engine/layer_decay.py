"""Learning rates that decay with depth, beside all other rules for parameters."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

SHARD = '_fsdp_wrapped_module.'  # what FSDP puts into names


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor with ``layer_decay_rate`` in ``paramwise_cfg``.

    The learning rate of a parameter at depth d of n is multiplied by
    ``layer_decay_rate ** (n - 1 - d)``, after ``custom_keys`` and the rest. The depth
    comes from the ``get_layer_depth`` of the model, or else of its backbone, so that
    any mmseg segmentor will do over this package's backbones and over others that
    have it as mmpretrain's do.

    Raises:
        ValueError: There is no ``layer_decay_rate``, no learning rate, or nobody knows
            the depths.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '',
                   is_dcn_module: Any = None) -> None:
        """Add groups of all parameters of a module."""
        super().add_params(params, module, prefix=prefix, is_dcn_module=is_dcn_module)
        if prefix:  # the model itself is done last, with all its parts
            return
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if rate is None or self.base_lr is None:
            raise ValueError('LayerDecayConstructor needs paramwise_cfg=dict('
                             'layer_decay_rate=0.75, ...) and optimizer=dict(lr=...)')
        names = {id(p): name.replace(SHARD, '')
                 for name, p in module.named_parameters()}
        for group in params:
            depth, number = _layer_depth(module, names[id(group['params'][0])])
            group['lr'] = group.get('lr', self.base_lr) * rate**(number - 1 - depth)


def _layer_depth(model: Any, name: str) -> tuple[int, int]:
    """Depth of a parameter and number of depths, from the model or its backbone."""
    if hasattr(model, 'get_layer_depth'):
        return model.get_layer_depth(name)
    backbone: Any = getattr(model, 'backbone', None)
    if not hasattr(backbone, 'get_layer_depth'):
        raise ValueError(
            f'LayerDecayConstructor: neither {type(model).__name__} nor its backbone '
            f'{type(backbone).__name__} has get_layer_depth(name, prefix)')
    return backbone.get_layer_depth(name, 'backbone.')
