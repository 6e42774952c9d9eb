"""Memory against time: activations that the backward pass computes again."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch.utils.checkpoint import checkpoint

Result = TypeVar('Result')


def run_block(call: Callable[..., Result], *inputs: object, with_cp: bool) -> Result:
    """Run a part of a model; same results and gradients either way.

    Args:
        call: The part.
        inputs: What it takes.
        with_cp: Keep only the inputs, and run the part once more when its gradients
            are wanted. Has no effect where gradients are switched off.

    Returns:
        What the part returns.
    """
    if with_cp and torch.is_grad_enabled():
        return checkpoint(call, *inputs, use_reentrant=False)
    return call(*inputs)
