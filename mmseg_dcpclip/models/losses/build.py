"""The losses of a decode head, one or several, as in mmseg."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.registry import MODELS
from torch import Tensor, nn

from ..resizing import resize
from ..structures import Pairs

LossConfig = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


def build_losses(losses: LossConfig) -> nn.Module:
    """Build what a head's ``loss_decode`` says.

    Args:
        losses: Config of a loss or of several; None: ``SelectedBCELoss``.

    Returns:
        nn.Module: The loss, or an ``nn.ModuleList`` of several.

    Raises:
        ValueError: There is none, or two have one name in the log.
    """
    if losses is None or isinstance(losses, Mapping):
        return MODELS.build(losses or dict(type='SelectedBCELoss'))
    built = nn.ModuleList(MODELS.build(config) for config in losses)
    if not built:
        raise ValueError('loss_decode=[] leaves nothing to train with')
    names = [loss.loss_name for loss in built]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f'loss_decode: several losses are called {twice.pop()!r}: '
                         'give each its own loss_name')
    return built


def pair_losses(losses: Sequence[nn.Module], logits: Tensor, labels: Tensor,
                pairs: Pairs, ignore_index: int) -> dict[str, Tensor]:
    """The losses of pairs by their names.

    Args:
        losses: As a head has them. One with ``resizes`` brings logits to the size of
            the labels itself; the others get them at that size.
        logits: [M, h, w].
        labels: Category ids, int64 [B, H, W].
        pairs: M pairs; every image has one.
        ignore_index: Label of unlabelled pixels.
    """
    resizes = [getattr(loss, 'resizes', False) for loss in losses]
    full = logits if all(resizes) else resize(logits, labels.shape[-2:])
    return {str(loss.loss_name): loss(logits if own else full, labels, pairs,
                                      ignore_index)
            for loss, own in zip(losses, resizes)}
