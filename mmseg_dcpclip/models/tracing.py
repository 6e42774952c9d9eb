"""What the model's parts need to know of tracers and exporters."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def fixed(*sizes: int) -> bool:
    """Whether sizes are plain numbers.

    ``torch.export`` hands over symbols where a size is to stay open: nothing may be
    decided by comparing them, or what is exported would hold for one size only.
    """
    return not any(isinstance(size, torch.SymInt) for size in sizes)


def recording() -> bool:
    """Whether ``torch.compile`` or ``torch.export`` records what is computed."""
    asked = getattr(torch.compiler, 'is_compiling', None)  # torch 2.1 has none
    return bool(asked and asked())


def size_of(x: torch.Tensor, dim: int) -> int:
    """A size as a number, also where ``torch.jit`` traces it as a tensor."""
    return int(x.shape[dim]) if torch.jit.is_tracing() else x.shape[dim]


@contextmanager
def outside_trace() -> Iterator[None]:
    """Compute something that is kept: ``torch.jit.trace`` must not record it.

    Otherwise what is kept would belong to that trace, and the next one would fail.
    """
    state = torch._C._get_tracing_state()  # None outside
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]
