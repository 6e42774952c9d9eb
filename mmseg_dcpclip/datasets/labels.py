"""Label maps on disk and in memory, right for any number of classes."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import write_atomic

WIDE_IGNORE = 65535


def check_ignore_index(ignore_index: int, num_classes: int) -> None:
    """Refuse an ignore index that is also the id of a class.

    Args:
        ignore_index: Label value of pixels without a class.
        num_classes: Number of classes.

    Raises:
        ValueError: ``ignore_index`` is in [0, num_classes).
    """
    if 0 <= ignore_index < num_classes:
        raise ValueError(
            f'ignore_index={ignore_index} is a class id of a vocabulary of '
            f'{num_classes} classes, so that class would never be trained or '
            f'scored; set ignore_index={WIDE_IGNORE} for the dataset, the loss, '
            'the metric and the padding, and store 16-bit labels')


def check_label_ids(label: np.ndarray, num_classes: int, ignore_index: int,
                    path: str) -> None:
    """Refuse label values outside the vocabulary.

    Args:
        label: Integer label map [H, W].
        num_classes: Number of classes.
        ignore_index: Label value of pixels without a class.
        path: File named in the error.

    Raises:
        ValueError: A value is neither a class id nor ``ignore_index``.
    """
    outside = (label < 0) | (label >= num_classes)
    outside &= label != ignore_index
    if outside.any():
        ids = np.unique(label[outside])
        shown = ', '.join(str(i) for i in ids[:5]) + (', ...' if len(ids) > 5 else '')
        raise ValueError(
            f'label id {shown} in {path} is outside the vocabulary of '
            f'{num_classes} classes (0..{num_classes - 1}) and is not the ignore '
            f'index {ignore_index}; convert the labels, or correct the class list '
            'or ignore_index')


def decode_label(content: bytes, path: str) -> np.ndarray:
    """Decode a label image.

    Palette images give their indices, 16-bit images keep their 16 bits.

    Args:
        content: The file's content.
        path: File named in the error.

    Returns:
        np.ndarray: int32 [H, W].

    Raises:
        ValueError: The file cannot be decoded or has colour channels.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            label = np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'cannot decode the label {path} ({error}); the file is '
                         'broken or cut off: convert or copy it again') from error
    if label.ndim != 2 or label.dtype.kind not in 'uib':
        raise ValueError(
            f'{path} is an image of mode {image.mode}, a label map has one integer '
            'channel; convert it to a palette, 8-bit or 16-bit grey PNG')
    return label.astype(np.int32)


def write_label(path: str | Path, label: np.ndarray, wide: bool) -> None:
    """Write a label map as PNG; a half-written file never stays at ``path``.

    Args:
        path: Where to write; its folder must exist.
        label: Integer label map [H, W].
        wide: Whether to write 16 bits instead of 8.

    Raises:
        ValueError: A value does not fit into the bits.
    """
    dtype = np.uint16 if wide else np.uint8
    low, high = int(label.min(initial=0)), int(label.max(initial=0))
    if low < 0 or high > np.iinfo(dtype).max:
        raise ValueError(f'label values {low}..{high} do not fit into the '
                         f'{np.dtype(dtype).itemsize * 8}-bit PNG {path}')
    content = io.BytesIO()
    # Level 1 is several times faster than the default and hardly larger here.
    Image.fromarray(label.astype(dtype)).save(
        content, format='PNG', compress_level=1)
    write_atomic(path, content.getvalue())
