"""Places of sliding windows."""

from collections.abc import Sequence

Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels


def window_boxes(size: Sequence[int], crop: Sequence[int], stride: Sequence[int]
                 ) -> list[Box]:
    """Places of sliding windows; the last ones are moved back inside the image.

    Args:
        size: Height and width of the image.
        crop: Height and width of a window; no more than the image's are used.
        stride: Steps down and right.

    Returns:
        list: Boxes, row by row.

    Raises:
        ValueError: A stride or window below one pixel.
    """
    if min(*crop, *stride) < 1:
        raise ValueError(f'crop_size {tuple(crop)} and stride {tuple(stride)} must be '
                         'positive')
    height, width = (min(c, n) for c, n in zip(crop, size))
    tops, lefts = ([min(i * s, n - c) for i in range(-(-(n - c) // s) + 1)]
                   for n, c, s in zip(size, (height, width), stride))
    return [(y, x, y + height, x + width) for y in tops for x in lefts]
