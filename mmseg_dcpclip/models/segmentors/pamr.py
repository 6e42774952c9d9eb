"""Pixel-adaptive mask refinement (PAMR; Araslanov and Roth, arXiv 2005.08104).

Maps follow the borders of the picture: again and again each pixel takes the mean of
pixels around it, weighted by how much they look like it. Nothing is learned.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..resizing import resize

SHARPNESS = 10.0  # factor on differences in units of the local deviation


def shifted(x: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """The neighbours of every pixel, one after the other.

    Args:
        x: [B, C, H, W]; outside, the nearest pixel of the border counts.
        dilations: Distances of the eight neighbours.

    Yields:
        Tensor: [B, C, H, W].
    """
    height, width = x.shape[-2:]
    reach = max(dilations)
    padded = F.pad(x, (reach, ) * 4, mode='replicate')
    for step in dilations:
        for down in (-step, 0, step):
            for right in (-step, 0, step):
                if down or right:
                    top, left = reach + down, reach + right
                    yield padded[..., top:top + height, left:left + width]


def local_affinity(image: Tensor, dilations: Sequence[int]) -> Tensor:
    """How much each pixel looks like its neighbours.

    A softmax over the negative absolute differences, in units of a tenth of the
    deviation of the neighbourhood and averaged over the channels: the scale of the
    image does not matter.

    Args:
        image: [B, C, H, W].
        dilations: Distances of the eight neighbours, D of them.

    Returns:
        Tensor: Weights that sum to 1, float32 [B, 8 D, H, W].
    """
    image = image.float()
    # Each eight are joined by the pixel itself, whose difference is 0.
    count = 9 * len(dilations)
    total, square = torch.zeros_like(image), torch.zeros_like(image)
    for x in shifted(image, dilations):
        away = x - image
        total += away
        square.addcmul_(away, away)
    variance = (square - total**2 / count).clamp_(min=0) / (count - 1)
    unit = variance.sqrt() / SHARPNESS + 1e-8
    share = -1 / (image.shape[1] * unit)
    return torch.stack([(x - image).abs_().mul_(share).sum(1)
                        for x in shifted(image, dilations)], 1).softmax(1)


def refine_masks(maps: Tensor, affinity: Tensor, dilations: Sequence[int],
                 num_steps: int) -> Tensor:
    """Average every pixel's neighbours again and again.

    Args:
        maps: [B, K, H, W].
        affinity: Of ``local_affinity`` for images [B, C, H, W].
        dilations: Those of ``affinity``.
        num_steps: How often.

    Returns:
        Tensor: [B, K, H, W].
    """
    for _ in range(num_steps):
        new = torch.zeros_like(maps)
        for weight, x in zip(affinity.unbind(1), shifted(maps, dilations)):
            new.addcmul_(x, weight[:, None])
        maps = new
    return maps


@MODELS.register_module()
class PAMR(nn.Module):
    """``refine_masks`` with its settings, for the segmentor.

    A refinement of your own is a registered module with this ``forward``; name it as
    ``refinement=dict(type=...)``.

    Args:
        num_steps: How often neighbours are averaged.
        dilations: Distances of the eight neighbours in pixels.
        max_pixels: Larger pictures are refined at so many pixels and resized: it bounds
            time and memory. Up to 1024 x 2048 (the default) they keep their size.

    Raises:
        ValueError: A number below 1, or no dilation.
    """

    def __init__(self, num_steps: int = 10, dilations: Sequence[int] = (8, 16),
                 max_pixels: int = 2**21) -> None:
        super().__init__()
        for name, value in (('num_steps', num_steps), ('max_pixels', max_pixels)):
            if value < 1:
                raise ValueError(f'PAMR: {name} must be at least 1, got {value}')
        if isinstance(dilations, int) or not dilations or min(dilations) < 1:
            raise ValueError('PAMR: dilations must be numbers of pixels from 1 on, got '
                             f'{dilations}')
        self.num_steps = num_steps
        self.dilations = tuple(dilations)
        self.max_pixels = max_pixels

    @torch.no_grad()
    def forward(self, maps: Tensor, images: Tensor, size: Sequence[int]) -> Tensor:
        """Refine maps of any size.

        Args:
            maps: K maps of each of B images, [B, K, h, w].
            images: [B, 3, h', w'].
            size: H and W.

        Returns:
            Tensor: float32 [B, K, H, W].
        """
        height, width = size
        shrink = min(1.0, (self.max_pixels / (height * width))**0.5)
        inner = max(1, int(height * shrink)), max(1, int(width * shrink))
        affinity = local_affinity(resize(images, inner), self.dilations)
        refined = refine_masks(resize(maps, inner), affinity, self.dilations,
                               self.num_steps)
        return resize(refined, size)

    def extra_repr(self) -> str:
        return (f'num_steps={self.num_steps}, dilations={self.dilations}, '
                f'max_pixels={self.max_pixels}')
