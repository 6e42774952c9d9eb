"""The bare cosine of patches and words."""

from typing import Any

from mmseg.registry import MODELS
from torch import Tensor

from ..protocol import CategoryNeck
from ..structures import AlignedFeatures, CLIPFeatures, Pairs
from .cost_volume import cost_volume


@MODELS.register_module()
class CosineNeck(CategoryNeck):
    """No alignment: maps are the cosine with the mean embedding (Table III, baseline).

    ``DCPCLIP(neck=None)`` means this one. It has no weights.
    """
    cost_dims = 1
    uses_templates = False
    takes_filled_up = True

    def forward(self, features: CLIPFeatures, text: Tensor, pairs: Pairs,
                prepared: Any = None) -> AlignedFeatures:
        """Cosine maps [M, 1, h, w] of M pairs, see ``CategoryNeck``."""
        similarity = cost_volume(features, text, pairs)
        return AlignedFeatures(similarity, similarity, similarity)
