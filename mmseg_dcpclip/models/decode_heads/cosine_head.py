"""Logits straight from the cosine of patches and words."""

from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..losses import LossConfig, build_losses
from ..protocol import CategoryHead
from ..structures import AlignedFeatures, CLIPFeatures, Pairs


@MODELS.register_module()
class CosineHead(CategoryHead):
    """The fine-tuned CLIP baseline (first row of Table III), or none at all.

    Args:
        scale: First value of the factor on the cosine.
        bias: First value of what is added.
        trainable: Whether both are learned.
        activation: ``'sigmoid'``, or ``'softmax'`` over an image's categories, as
            training-free work has it (with scale 40 and bias 0).
        loss_decode: The segmentation loss, or several.
        init_cfg: As in mmengine.

    Raises:
        ValueError: Another activation.
    """
    def __init__(self, scale: float = 20.0, bias: float = -5.0, trainable: bool = True,
                 activation: str = 'sigmoid', loss_decode: LossConfig = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if activation not in ('sigmoid', 'softmax'):
            raise ValueError("CosineHead: activation must be 'sigmoid' or 'softmax', "
                             f'got {activation!r}')
        self.activation = activation
        self.scale = nn.Parameter(torch.tensor(float(scale)), trainable)
        self.bias = nn.Parameter(torch.tensor(float(bias)), trainable)
        self.loss_decode = build_losses(loss_decode)

    def forward(self, features: CLIPFeatures, aligned: AlignedFeatures, pairs: Pairs,
                prepared: Any = None) -> Tensor:
        """Logits [M, h, w] on the grid of the patches, see ``CategoryHead``."""
        return self.scale * aligned.similarity.squeeze(1) + self.bias
