"""Bounds what a model sees of a picture."""

from mmcv.transforms import BaseTransform, Resize
from mmengine.logging import print_log
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LimitSize(BaseTransform):
    """Reduces a picture whose long side is over a bound; others stay as they are.

    The attention of an image encoder grows with the square of the pixels. mmseg's
    ``Resize`` bounds them, too, but enlarges small pictures as well. The aspect ratio
    is kept as far as whole pixels allow; predictions have the size of the picture
    (``ori_shape``) all the same. It is logged once.

    Required keys: img, gt_seg_map and so on as for ``Resize``, img_path (optional).

    Modified keys: as of ``Resize``.

    Args:
        max_side: The bound, in pixels.

    Raises:
        ValueError: The bound is below one pixel.
    """

    def __init__(self, max_side: int) -> None:
        if max_side < 1:
            raise ValueError(f'max_side must be 1 pixel or more, got {max_side}')
        self.max_side = max_side
        self.said = False

    def transform(self, results: dict) -> dict:
        """Reduce the picture, and its label where one is loaded already."""
        size = results['img'].shape[:2]
        if max(size) <= self.max_side:
            return results
        height, width = (max(1, round(n * self.max_side / max(size))) for n in size)
        if not self.said:
            self.said = True
            print_log(
                f'{results.get("img_path", "a picture")} of {size[0]} x {size[1]} '
                f'pixels is reduced to {height} x {width} for the model (LimitSize, '
                f'max_side={self.max_side}, in the pipeline); the label map keeps the '
                "picture's size. Said for the first picture only", 'current')
        # area: what is left out between sampled pixels would be noise
        return Resize(scale=(width, height), interpolation='area')(results)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(max_side={self.max_side})'
