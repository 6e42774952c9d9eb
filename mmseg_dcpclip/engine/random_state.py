"""States of the random number generators of a process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def get_random_state() -> dict[str, Any]:
    """The states of Python's, numpy's and torch's generators, in plain types.

    Returns:
        dict: For ``set_random_state``. That of the GPU is there if it is in use.
    """
    numpy_state: Any = np.random.get_state()
    name, keys, *position = numpy_state
    state = dict(python=random.getstate(), numpy=(name, keys.tolist(), *position),
                 torch=torch.get_rng_state())
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put the generators into states that ``get_random_state`` returned."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state['numpy']))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


@contextmanager
def seeded(*seeds: int) -> Iterator[None]:
    """Seed the generators inside, and leave them outside as they were.

    Args:
        seeds: Together they decide the numbers; not negative.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    first, second, third = map(int, np.random.SeedSequence(seeds).generate_state(3))
    random.seed(first)
    np.random.seed(second)
    torch.default_generator.manual_seed(third)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
