"""Softmax cross-entropy over the selected categories of an image."""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..structures import Pairs


def selected_cross_entropy(logits: Tensor, labels: Tensor, pairs: Pairs,
                           none_logit: float | None = None) -> Tensor:
    """Mean over images of the mean over the pixels that show one of the categories.

    A binary cross-entropy judges each category by itself and leaves open how the logits
    of two of them compare, although the largest decides; this trains the comparison.

    Args:
        logits: [M, H, W].
        labels: Category ids, int64 [B, H, W]; pixels of none of an image's
            categories take no part.
        pairs: M pairs; every image has one.
        none_logit: A further logit, fixed, that is never the right one: categories
            have to rise above it. None: without.

    Returns:
        Tensor: scalar, float32. An image without such pixels adds 0.
    """
    total = logits.new_zeros((), dtype=torch.float32)
    rows = zip(logits.float().split(pairs.counts), pairs.category.split(pairs.counts),
               labels)
    for own, category, label in rows:
        # ids ascend, so the place of each label is found by bisection
        place = torch.searchsorted(category, label).clamp(max=len(category) - 1)
        there = category[place] == label
        if none_logit is not None:
            own = F.pad(own, (0, 0, 0, 0, 0, 1), value=none_logit)
        place = place.masked_fill(~there, -1)
        loss = F.cross_entropy(own[None], place[None], ignore_index=-1, reduction='sum')
        total = total + loss / there.sum().clamp(min=1)
    return total / len(labels)


@MODELS.register_module()
class SelectedCrossEntropyLoss(nn.Module):
    """Module around ``selected_cross_entropy``.

    Args:
        none_logit: As there.
        loss_weight: Factor on the loss.
        loss_name: Key in the log; must start with 'loss'.
    """

    def __init__(self, none_logit: float | None = None, loss_weight: float = 1.0,
                 loss_name: str = 'loss_ce') -> None:
        super().__init__()
        self.none_logit = none_logit
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, labels: Tensor, pairs: Pairs, ignore_index: int
                ) -> Tensor:
        """See ``selected_cross_entropy``."""
        return self.loss_weight * selected_cross_entropy(logits, labels, pairs,
                                                         self.none_logit)
