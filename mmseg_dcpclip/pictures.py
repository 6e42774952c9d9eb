"""Pictures in the many forms people have them; Pillow and numpy are enough."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

ImageLike = str | Path | np.ndarray | Image.Image
ORIENTATION = 0x0112  # the EXIF tag


def load_image(source: ImageLike) -> np.ndarray:
    """Read a picture as 8-bit RGB.

    Grey becomes RGB, 16 bits become 8, transparency is laid on white, and the
    orientation noted by a camera is applied.

    Args:
        source: A path; a PIL image; or an array [H, W], [H, W, 1], [H, W, 3] in RGB
            or [H, W, 4] in RGBA, of uint8, uint16 or floats in 0..1.

    Returns:
        np.ndarray: uint8 [H, W, 3].

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no picture, or the array none of the above.
        TypeError: The source is something else.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f'no such picture: {path}')
        return decode_picture(path.read_bytes(), path)
    if isinstance(source, Image.Image):
        return _from_pil(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    raise TypeError('a picture is a path, an array or a PIL image, got '
                    f'{type(source).__name__}')


def decode_picture(content: bytes, path: str | Path) -> np.ndarray:
    """Decode a picture file as ``load_image`` does.

    Args:
        content: The file's content.
        path: File named in the error.

    Returns:
        np.ndarray: uint8 [H, W, 3] in RGB.

    Raises:
        ValueError: The content is no picture.
    """
    if not content:
        raise ValueError(f'{path} cannot be read as a picture: the file is empty; copy '
                         'it again or remove it')
    try:
        with Image.open(io.BytesIO(content)) as image:
            return _from_pil(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow names the object that it read from
        raise ValueError(f'{path} cannot be read as a picture: '
                         f'{_reason(error)}') from error


def orientation_of(image: Image.Image) -> int:
    """The orientation that a camera noted: 1 (as stored) to 8, see EXIF 2.3.

    Of a loaded image: Pillow turns TIFFs itself when it loads them.
    """
    return image.getexif().get(ORIENTATION, 1)


def rawmode_of(image: Image.Image) -> str:
    """How an opened, not yet loaded file stores pixels, in Pillow's words: 'L;2'."""
    for tile in getattr(image, 'tile', ()):
        arguments = tile[3]
        first = arguments[0] if isinstance(arguments, tuple) else arguments
        return first if isinstance(first, str) else ''
    return ''


def turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn what is stored into what viewers show.

    Args:
        array: [H, W, ...].
        orientation: Of ``orientation_of``; 1 and unknown values change nothing.
    """
    if orientation in (5, 6, 7, 8):  # rows and columns change places
        array = np.swapaxes(array, 0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def picture_size(path: str | Path) -> tuple[int, int]:
    """Rows and columns of a picture as it is shown; most often only the head is read.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no picture.
    """
    try:
        with Image.open(path) as image:
            if image.format == 'TIFF':
                image.load()
            columns, rows = image.size
            return (columns, rows) if orientation_of(image) > 4 else (rows, columns)
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'{path} cannot be read as a picture: '
                         f'{_reason(error)}') from error


def _reason(error: BaseException) -> str:
    """What Pillow says, without the object that it read from."""
    text = str(error)
    return ('no known picture format' if text.startswith('cannot identify')
            else text)


def _from_pil(image: Image.Image) -> np.ndarray:
    colors = _colors_of(image)  # loads it
    return np.ascontiguousarray(turn(colors, orientation_of(image)))


def _colors_of(image: Image.Image) -> np.ndarray:
    if image.mode.startswith('I') or image.mode == 'F':  # 16-bit and float greys
        values = np.asarray(image)
        if image.mode == 'F':
            return _from_array(np.clip(values / max(1.0, values.max()), 0, 1))
        return _from_array(np.clip(values, 0, 65535).astype(np.uint16))
    if image.mode in ('LA', 'PA', 'RGBA', 'La', 'RGBa') or 'transparency' in image.info:
        return _from_array(np.asarray(image.convert('RGBA')))
    return np.array(image.convert('RGB'))


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise ValueError('a picture array has the shape [H, W], [H, W, 1], [H, W, 3] '
                         f'or [H, W, 4] with pixels, got {array.shape}')
    if np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and 0 <= array.min() and array.max() <= 1):
            raise ValueError('a float picture has values in 0..1, got '
                             f'{array.min()}..{array.max()}')
        array = np.round(array * 255).astype(np.uint8)
    elif array.dtype == np.uint16:
        array = np.round(array / 257).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ValueError('a picture array holds uint8, uint16 or floats in 0..1, got '
                         f'{array.dtype}')
    if array.shape[2] == 4:
        alpha = array[..., 3:] / 255
        array = np.round(array[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
