"""Logits straight from the cosine of patches and words."""


import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..clip.features import CLIPFeatures
from ..necks.cost_volume import AlignedFeatures
from ..selection import Pairs


@MODELS.register_module()
class CosineHead(BaseModule):
    """The fine-tuned CLIP baseline (first row of Table III), or none at all.

    Args:
        scale: First value of the factor on the cosine.
        bias: First value of what is added.
        trainable: Whether both are learned.
        loss_decode: The segmentation loss.
        init_cfg: As in mmengine.
    """
    with_attention = False

    def __init__(self, scale: float = 20.0, bias: float = -5.0, trainable: bool = True,
                 loss_decode: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.scale = nn.Parameter(torch.tensor(float(scale)), trainable)
        self.bias = nn.Parameter(torch.tensor(float(bias)), trainable)
        self.loss_decode = MODELS.build(loss_decode or dict(type='SelectedBCELoss'))

    def image_maps(self, features: CLIPFeatures) -> list:
        """Nothing: no layer looks at the images."""
        return []

    def forward(self, features: CLIPFeatures, aligned: AlignedFeatures, pairs: Pairs,
                image_maps: list | None = None) -> Tensor:
        """Logits [M, h, w] on the grid of the patches."""
        return self.scale * aligned.similarity.squeeze(1) + self.bias
