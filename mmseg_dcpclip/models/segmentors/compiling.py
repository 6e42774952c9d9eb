"""Functions by torch.compile, each built once."""

from collections.abc import Callable
from typing import Any

import torch

_KEPT: dict[str, Callable[..., Any]] = {}


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A function by torch.compile.

    It must be a plain one that gets its modules as arguments: a copy of a model must
    run its own weights.

    Args:
        function: The function.
        **options: Of torch.compile.
    """
    key = repr((function, sorted(options.items())))
    if key not in _KEPT:
        _KEPT[key] = torch.compile(function, **options)
    return _KEPT[key]
