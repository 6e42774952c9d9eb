"""Every category: what methods without a selection decode."""

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..structures import CLIPFeatures, TextEmbeddings


@MODELS.register_module()
class EveryCategory(nn.Module):
    """Selects every word in tests, and in training as many as fit.

    Args:
        num_trained: Words drawn at random for each image in training, to which the
            model joins those that the image shows; None: all.

    Raises:
        ValueError: ``num_trained`` below 1.
    """

    def __init__(self, num_trained: int | None = None) -> None:
        super().__init__()
        if num_trained is not None and num_trained < 1:
            raise ValueError(f'num_trained must be positive, got {num_trained}')
        self.num_trained = num_trained

    @torch.no_grad()
    def forward(self, features: CLIPFeatures, text: TextEmbeddings,
                logit_scale: float | Tensor) -> Tensor:
        """Select.

        Args:
            features: The encoder's view of B images.
            text: Embeddings of C categories.
            logit_scale: Unused.

        Returns:
            Tensor: bool [B, C].
        """
        shape, device = (len(features.cls), len(text.mean)), features.cls.device
        if not self.training or self.num_trained is None:
            return torch.ones(shape, dtype=torch.bool, device=device)
        return torch.rand(shape, device=device).argsort(1) < self.num_trained

    def extra_repr(self) -> str:
        return f'num_trained={self.num_trained}'
