"""Words for the pictures of the small world."""

from collections.abc import Sequence

import numpy as np

from .surfaces import NAMES
from .templates import TEMPLATES


def caption(rng: np.random.Generator, categories: Sequence[int]) -> str:
    """Name the categories of a picture in a random order and frame.

    Args:
        rng: Source of order and frame.
        categories: Category ids, at least one.

    Returns:
        str: For example 'a picture of red dots on blue and black grid on pink'.
    """
    names = [NAMES[categories[i]] for i in rng.permutation(len(categories))]
    text = ' and '.join([', '.join(names[:-1]), names[-1]]) if names[1:] else names[0]
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(text)
