"""Forms of a picture that are views of it, too: mirrored or shifted in the patches.

A shifted form is cut into patches elsewhere: what one form's patches mix is apart in
the other's. Behind its last pixels the picture is mirrored at its border; the
picture's first ones are not in it, and the other forms alone see them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...windows import Box


@dataclass(frozen=True)
class Form:
    """How a picture is shown once more.

    Attributes:
        flip: Whether mirrored, left and right.
        shift: Patches that it is moved up and left by, 0 up to 1.
    """
    flip: bool = False
    shift: float = 0.0


AS_IT_IS = (Form(), )
# What ``test_cfg.tta`` names.
PRESETS: dict[str, tuple[Form, ...]] = {
    'none': AS_IT_IS,
    'flip': (Form(), Form(flip=True)),
    'shift': (Form(), Form(shift=0.5)),
    'flip+shift': (Form(), Form(flip=True, shift=0.5)),
}


def check_preset(name: Any) -> str:
    """A preset's name as it is.

    Raises:
        ValueError: There is none; names those that are.
    """
    if name not in PRESETS:
        raise ValueError(f'there is no tta {name!r}: choose {", ".join(PRESETS)}')
    return name


def read_forms(tta: str | Sequence[Mapping[str, Any]]) -> tuple[Form, ...]:
    """The forms that ``test_cfg.tta`` means.

    Args:
        tta: Name of a preset, or arguments of ``Form``, the picture as it is
            (``dict()``) first.

    Raises:
        ValueError: An unknown preset or argument, a shift out of range, or the first
            form is another than the picture.
    """
    if isinstance(tta, str):
        return PRESETS[check_preset(tta)]
    try:
        forms = tuple(form if isinstance(form, Form) else Form(**form) for form in tta)
    except TypeError as error:
        raise ValueError(f'test_cfg.tta: {error}; a form is dict(flip=True), '
                         'dict(shift=0.5) or both') from error
    if not forms or forms[0] != Form():
        raise ValueError('test_cfg.tta needs dict(), the picture as it is, as its '
                         f'first form; got {tta}')
    if not all(0 <= form.shift < 1 for form in forms):
        raise ValueError('test_cfg.tta: a shift is 0 or more and less than 1 patch; '
                         f'got {tta}')
    return forms


def shift_pictures(pictures: Tensor, shift: Sequence[int]) -> Tensor:
    """Move pictures [B, 3, H, W] up and left by whole pixels; they keep their size."""
    down, right = shift
    if not (down or right):
        return pictures
    padded = F.pad(pictures, (0, right, 0, down), mode='reflect')
    return padded[..., down:, right:]


def place_of(box: Box, shift: Sequence[int], size: Sequence[int]) -> Box:
    """Where a window of a shifted form lies in the picture, cut off at its borders."""
    top, left, bottom, right = box
    return (top + shift[0], left + shift[1], min(bottom + shift[0], size[0]),
            min(right + shift[1], size[1]))
