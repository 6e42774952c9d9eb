"""Colours for any number of categories."""

from collections.abc import Sequence


def make_palette(num_colors: int) -> list[list[int]]:
    """Make distinct, well spread colours.

    The additive recurrence with the three-dimensional generalisation of the golden
    ratio (a low-discrepancy sequence) walks through the colour cube, so colour i does
    not depend on ``num_colors``. Black is left to what has no category: no channel is
    below 32.

    Args:
        num_colors: Number of colours.

    Returns:
        list[list[int]]: ``num_colors`` distinct [r, g, b] in 32..255.
    """
    ratio = 1.2207440846057596  # the real root of x ** 4 = x + 1
    colors: dict[tuple, None] = {}  # keeps the order and drops repetitions
    step = 0
    while len(colors) < num_colors:
        step += 1
        colors[tuple(32 + int(224 * (step * ratio**-k % 1)) for k in (1, 2, 3))] = None
    return [list(color) for color in colors]


def check_palette(palette: Sequence[Sequence[int]] | None, num_classes: int
                  ) -> list[list[int]]:
    """A palette as lists of ints; None gives ``make_palette``.

    Raises:
        ValueError: It has another length, or a colour is not three numbers in 0..255.
    """
    if palette is None:
        return make_palette(num_classes)
    colors = [[int(channel) for channel in color] for color in palette]
    if len(colors) != num_classes:
        raise ValueError(f'the palette holds {len(colors)} colours for '
                         f'{num_classes} categories; give one per category')
    for position, color in enumerate(colors):
        if len(color) != 3 or not all(0 <= c <= 255 for c in color):
            raise ValueError(f'colour {position} is {color}; it must be three '
                             'numbers in 0..255')
    return colors
