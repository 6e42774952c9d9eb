"""Per-pixel binary cross-entropy on the selected categories."""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..structures import Pairs


def selected_bce(logits: Tensor, labels: Tensor, pairs: Pairs, ignore_index: int,
                 ignored: str = 'mask') -> Tensor:
    """Mean over images of the mean over categories and pixels.

    With t = 1 where the label is the category, BCE is softplus(x) - x t: no one-hot
    map is built.

    Args:
        logits: [M, H, W].
        labels: Category ids, int64 [B, H, W].
        pairs: M pairs; every image has one.
        ignore_index: Label of unlabelled pixels.
        ignored: ``'mask'`` leaves these out; ``'negative'`` trains them as none of
            the categories (as CAT-Seg and SED do).

    Returns:
        Tensor: scalar, float32. An image without labelled pixels adds 0.
    """
    logits = logits.float()
    target = labels[pairs.image] == pairs.category[:, None, None]
    loss = F.softplus(logits) - logits * target
    pixels = labels.new_full((len(labels), ), labels[0].numel(), dtype=torch.float)
    if ignored == 'mask':
        valid = labels != ignore_index
        loss = loss * valid[pairs.image]
        pixels = valid.flatten(1).sum(1).clamp(min=1).float()
    counts = torch.tensor(pairs.counts, device=pixels.device)
    weight = 1 / (pixels * counts * len(labels))
    return (loss.sum((1, 2)) * weight[pairs.image]).sum()


@MODELS.register_module()
class SelectedBCELoss(nn.Module):
    """Module around ``selected_bce``.

    Args:
        ignored: ``'mask'`` or ``'negative'``.
        loss_weight: Factor on the loss.
        loss_name: Key in the log; must start with 'loss'.
    """

    def __init__(self, ignored: str = 'mask', loss_weight: float = 1.0,
                 loss_name: str = 'loss_bce') -> None:
        super().__init__()
        if ignored not in ('mask', 'negative'):
            raise ValueError(f"ignored must be 'mask' or 'negative', got {ignored!r}")
        self.ignored = ignored
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, labels: Tensor, pairs: Pairs, ignore_index: int
                ) -> Tensor:
        """See ``selected_bce``."""
        return self.loss_weight * selected_bce(logits, labels, pairs, ignore_index,
                                               self.ignored)
