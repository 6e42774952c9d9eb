"""Loading of label maps with any number of classes."""

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from .labels import check_label_ids, decode_label


def reduce_zero(label: np.ndarray, ignore_index: int) -> np.ndarray:
    """Turn 0 into ignore and count the classes from 0.

    Args:
        label: Signed integer label map [H, W], 0 for unlabelled pixels and 1.. for
            the classes.
        ignore_index: Label value of pixels without a class, in and out.

    Returns:
        np.ndarray: The same shape and type.
    """
    without_class = (label == 0) | (label == ignore_index)
    return np.where(without_class, ignore_index, label - 1).astype(label.dtype)


@TRANSFORMS.register_module()
class LoadWideAnnotations(BaseTransform):
    """Load a label map without cutting it to 8 bits.

    It replaces mmseg's ``LoadAnnotations``, which casts labels to uint8 and so
    turns class 458 into 202 and 65535 into 255. Palette, 8-bit and 16-bit PNGs
    are read with Pillow. Without ``seg_map_path`` nothing is done, so the same
    pipeline serves pictures that have no label.

    Required keys: seg_map_path (optional), reduce_zero_label, label_map
    (optional), ignore_index (optional, 255 by default), num_classes (optional:
    label values are checked if given), ori_shape (optional: the size is checked
    if given).

    Added keys: gt_seg_map (int32 [H, W]), seg_fields.

    Args:
        backend_args: Arguments of the file backend.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the label map.

        Args:
            results: See the required keys of the class.

        Returns:
            dict: ``results`` with the added keys.

        Raises:
            ValueError: The label cannot be decoded, has another size than the image,
                or holds ids outside the vocabulary.
        """
        path = results.get('seg_map_path')
        if path is None:
            return results
        label = decode_label(fileio.get(path, backend_args=self.backend_args), path)
        # The label is compared with the image as it is on disk: in a test
        # pipeline the image is resized before its label is loaded.
        size = results.get('ori_shape')
        if size is not None and tuple(size[:2]) != label.shape:
            raise ValueError(
                f'the label {path} is {label.shape}, its image '
                f'{results.get("img_path")} is {tuple(size[:2])} (rows, columns); '
                'both must have the same size')
        ignore_index = results.get('ignore_index', 255)
        if results.get('reduce_zero_label', False):
            label = reduce_zero(label, ignore_index)
        if results.get('label_map') is not None:
            loaded = label.copy()
            for old_id, new_id in results['label_map'].items():
                label[loaded == old_id] = new_id
        if 'num_classes' in results:
            check_label_ids(label, results['num_classes'], ignore_index, path)
        results['gt_seg_map'] = label
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(backend_args={self.backend_args})'
