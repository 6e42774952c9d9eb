"""Pictures read alike on every route: ``load_image`` is the rule.

``PictureAsSeen`` brings it into pipelines of mmseg, whose loader reads most files
likewise and faster.
"""

import os

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from PIL import Image

from ..pictures import (
    ImageLike,
    decode_picture,
    load_image,
    orientation_of,
    picture_size,
    rawmode_of,
    turn,
)

__all__ = [
    'ImageLike', 'PICTURE_SUFFIXES', 'PictureAsSeen', 'decode_picture', 'load_image',
    'orientation_of', 'picture_size', 'rawmode_of', 'turn'
]

# Endings of picture files, in small letters.
PICTURE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


@TRANSFORMS.register_module()
class PictureAsSeen(BaseTransform):
    """The picture as ``load_image`` reads it, behind any loader of mmseg.

    OpenCV leaves what lies under transparency, and its versions turn pictures by
    different rules. Files in which that can matter are read again; for the others only
    the head is looked at. Arrays of four channels lie on white, too.

    Required keys: img (BGR), img_path (optional).

    Modified keys: img (uint8 [H, W, 3] in BGR where it changes), img_shape, ori_shape.

    Args:
        backend_args: Arguments of the file backend, as for the loader.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Change the picture where need be.

        Args:
            results: See the required keys of the class.

        Raises:
            ValueError: The file is no picture.
        """
        path = results.get('img_path')
        if path is not None:
            picture = self._read_special(path)
        elif results['img'].shape[2:] == (4, ):
            picture = load_image(results['img'][..., [2, 1, 0, 3]])
        else:
            picture = None
        if picture is not None:
            results['img'] = np.ascontiguousarray(picture[..., ::-1])
            results['img_shape'] = results['ori_shape'] = picture.shape[:2]
        return results

    def _read_special(self, path: str) -> np.ndarray | None:
        """The picture where a loader may read it otherwise, else None."""
        if os.path.isfile(path):
            try:
                with Image.open(path) as image:
                    if _is_plain(image):
                        return None
            except OSError:
                return None  # a format that the loader alone knows
        return decode_picture(fileio.get(path, backend_args=self.backend_args), path)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(backend_args={self.backend_args})'


def _is_plain(image: Image.Image) -> bool:
    """Whether all decoders make the same of an open picture."""
    return (image.mode in ('1', 'L', 'P', 'RGB') and 'transparency' not in image.info
            and '16' not in rawmode_of(image) and orientation_of(image) == 1)
