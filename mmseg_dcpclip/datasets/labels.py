"""Label maps on disk and in memory, right for any number of classes."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import write_atomic
from .pictures import orientation_of, rawmode_of, turn

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
            'or ignore_index' + (
                ' (reduce_zero_label=True where the classes count from 1)'
                if ids[0] == num_classes else ''))


def decode_label(content: bytes, path: str) -> np.ndarray:
    """Decode a label image.

    The values are those in the file, whatever its bits: Pillow spreads greys of 2 and
    4 bits over 0..255. Palette images give their indices. A label that carries an
    orientation is turned as a picture is.

    Args:
        content: The file's content.
        path: File named in the error.

    Returns:
        np.ndarray: int32 [H, W].

    Raises:
        ValueError: The file cannot be decoded, has colour channels, or is a JPEG.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            rawmode, kind = rawmode_of(image), image.format
            label = np.array(image)
            orientation = orientation_of(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'cannot decode the label {path} ({error}); the file is '
                         'broken or cut off: convert or copy it again') from error
    if label.ndim != 2 or label.dtype.kind not in 'uib':
        raise ValueError(
            f'{path} is an image of mode {image.mode}, a label map has one integer '
            'channel: `dcpclip data convert color_masks` makes such maps from masks '
            'in colours')
    if kind == 'JPEG':
        raise ValueError(f'the label {path} is a JPEG, which blurs ids at edges; '
                         'make PNGs from the masks that it was made from')
    label = _stored_values(label.astype(np.int32), image.mode, rawmode)
    return turn(label, orientation)


def _stored_values(label: np.ndarray, mode: str, rawmode: str) -> np.ndarray:
    """Undo what Pillow does to greys: spread below 8 bits, inverted in some TIFFs.

    Args:
        label: As loaded, [H, W].
        mode: Of the loaded image.
        rawmode: Of ``rawmode_of``, such as 'L;2' or 'L;4I'.
    """
    name, _, form = rawmode.partition(';')
    if name not in ('1', 'L') or mode not in ('1', 'L'):
        return label
    highest = 1 if mode == '1' else 2 ** int(form[:1] if form[:1].isdigit() else 8) - 1
    if 1 < highest < 255:
        label = label // (255 // highest)
    return highest - label if 'I' in form else label


def needs_16_bits(num_classes: int, none_id: int | None = None) -> bool:
    """Whether ids of classes and of a none class beside them need 16 bits."""
    return num_classes > 255 or (none_id is not None and none_id > 255)


def write_label(path: str | Path, label: np.ndarray, wide: bool,
                beside: Path | None = None) -> None:
    """Write a label map as PNG; a half-written file never stays at ``path``.

    Args:
        path: Where to write; its folder must exist.
        label: Integer label map [H, W].
        wide: Whether to write 16 bits instead of 8.
        beside: Folder for what is not yet whole, as of ``atomic``.

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
    write_atomic(path, content.getvalue(), beside)
