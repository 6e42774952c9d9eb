"""Per-pixel binary cross-entropy on the selected categories."""

from typing import Any

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..resizing import resize
from ..structures import Pairs

# Pixels of category maps at full size at once: on a CPU its caches decide.
MAX_PIXELS = dict(cpu=2**18, cuda=2**24)


def selected_bce(logits: Tensor, labels: Tensor, pairs: Pairs, ignore_index: int,
                 ignored: str = 'mask') -> Tensor:
    """Mean over images of the mean over categories and pixels.

    With t = 1 where the label is the category, BCE is softplus(x) - x t: no one-hot
    map is built. Maps at full size are held some at a time: the loss is a sum, so
    their gradient is known at once.

    Args:
        logits: [M, h, w], resized to H x W.
        labels: Category ids, int64 [B, H, W].
        pairs: M pairs; every image has one.
        ignore_index: Label of unlabelled pixels.
        ignored: ``'mask'`` leaves these out; ``'negative'`` trains them as none of
            the categories (as CAT-Seg and SED do).

    Returns:
        Tensor: scalar, float32. An image without labelled pixels adds 0.
    """
    valid = labels != ignore_index if ignored == 'mask' else torch.ones_like(
        labels, dtype=torch.bool)
    pixels = valid.flatten(1).sum(1).clamp(min=1).float()
    counts = torch.tensor(pairs.counts, device=pixels.device)
    weight = 1 / (pixels * counts * len(labels))
    return _SummedBCE.apply(logits, labels, valid, weight[pairs.image], pairs.image,
                            pairs.category)


def _weighted_bce(logits: Tensor, labels: Tensor, valid: Tensor, weight: Tensor,
                  image: Tensor, category: Tensor) -> Tensor:
    """Sum of what each of the pairs adds, see ``selected_bce``.

    Args:
        logits: float32 [M, h, w].
        labels: int64 [B, H, W].
        valid: Pixels that count, bool [B, H, W].
        weight: Of a pixel of each pair, [M].
        image: Image of each pair, [M].
        category: Category of each pair, [M].
    """
    logits = resize(logits, labels.shape[1:])
    target = labels[image] == category[:, None, None]
    loss = (F.softplus(logits) - logits * target) * valid[image]
    return (loss.sum((1, 2)) * weight).sum()


class _SummedBCE(torch.autograd.Function):
    """``_weighted_bce`` some pairs at a time; only its gradient [M, h, w] is kept.

    In float32 whatever the logits are: it is scaled (AMP) no sooner than in the
    backward pass.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, valid: Tensor,
                *per_pair: Tensor) -> Tensor:
        most = MAX_PIXELS['cuda' if logits.is_cuda else 'cpu'] // labels[0].numel()
        total, grads = logits.new_zeros((), dtype=torch.float32), []
        for part, *more in zip(*(x.split(max(1, most)) for x in (logits, *per_pair))):
            part = part.detach().float().requires_grad_(ctx.needs_input_grad[0])
            with torch.set_grad_enabled(part.requires_grad):
                loss = _weighted_bce(part, labels, valid, *more)
            total += loss.detach()
            if part.requires_grad:
                grads += torch.autograd.grad(loss, part)
        ctx.dtype = logits.dtype
        if grads:
            ctx.save_for_backward(torch.cat(grads))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        kept, = ctx.saved_tensors
        return (grad * kept).to(ctx.dtype), *[None] * 5


@MODELS.register_module()
class SelectedBCELoss(nn.Module):
    """Module around ``selected_bce``.

    Args:
        ignored: ``'mask'`` or ``'negative'``.
        loss_weight: Factor on the loss.
        loss_name: Key in the log; must start with 'loss'.

    Attributes:
        resizes: Logits come as the head makes them, not at the size of the labels.
    """
    resizes = True

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
