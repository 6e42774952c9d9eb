"""What trainers ask of a segmentor beyond its losses."""

from collections.abc import Callable
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn


class TrainingMixin:
    """Learning rates by depth, compiled blocks, blocks that can be sharded.

    Put it before the model class.
    """
    backbone: Any
    selection: nn.Module

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Depth of a parameter and number of depths, see the backbone's method.

        Args:
            param_name: Its name in this model.

        Raises:
            ValueError: The image encoder does not know its depths.
        """
        if not hasattr(self.backbone, 'get_layer_depth'):
            raise ValueError(f'{type(self.backbone).__name__} has no get_layer_depth: '
                             'it cannot be trained with learning rates by depth')
        return self.backbone.get_layer_depth(param_name, 'backbone.')

    def compile_blocks(self, **options: Any) -> int:
        """Compile the blocks of the image encoder, in place.

        The rest changes its shapes with the number of selected categories from image
        to image, and would be compiled anew again and again.

        Args:
            options: Of ``torch.compile``.

        Returns:
            int: The number of compiled blocks.

        Raises:
            ValueError: The image encoder does not say which its blocks are.
        """
        blocks = getattr(self.backbone, 'whole_blocks', None)
        if blocks is None:
            raise ValueError(f'{type(self.backbone).__name__} has no whole_blocks that '
                             'could be compiled: leave compile out of the config')
        for block in blocks:
            block.compile(**options)
        return len(blocks)

    @property
    def shardable_blocks(self) -> list[nn.Module]:
        """list: Blocks into which nothing looks from outside: each can be sharded."""
        read_out = getattr(self.backbone, 'read_out', None)
        if (getattr(self.selection, 'with_mean_attention', False)
                or getattr(read_out, 'reads', None)):
            return []
        return list(getattr(self.backbone, 'whole_blocks', ()))

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """As in mmengine, never compiled as one: see ``compile_blocks``."""
        step = super().train_step  # type: ignore[misc]
        return _uncompiled(step, data, optim_wrapper)


# A function: torch 2.1 loses the model of a method that is disabled itself.
@torch.compiler.disable
def _uncompiled(call: Callable[..., dict[str, Tensor]], *args: Any
                ) -> dict[str, Tensor]:
    return call(*args)
