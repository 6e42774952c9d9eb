"""Pictures in the many forms people have them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ImageLike = str | Path | np.ndarray | Image.Image


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
        try:
            with Image.open(path) as image:
                return _from_pil(image)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f'{path} cannot be read as a picture: {error}') from error
    if isinstance(source, Image.Image):
        return _from_pil(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    raise TypeError('a picture is a path, an array or a PIL image, got '
                    f'{type(source).__name__}')


def _from_pil(image: Image.Image) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
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
