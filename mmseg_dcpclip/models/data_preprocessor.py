"""Normalises images without padding them to one size."""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS


@MODELS.register_module()
class OpenVocabDataPreProcessor(SegDataPreProcessor):
    """mmseg's data preprocessor for images of mixed sizes.

    Padding would change what CLIP sees, so images of different sizes are handed on
    as a list; the segmentor groups them by size. Images of one size are stacked as
    usual.

    Args:
        mean: Of the channels behind the conversion, in 0..255; None: not normalised.
        std: Likewise.
        bgr_to_rgb: Whether pictures come in BGR and the model wants RGB.
        rgb_to_bgr: The other way round.
        kwargs: As in mmseg; those that pad are not used.

    Raises:
        ValueError: An image without pixels or not of three channels.
    """

    def __init__(self, mean: Sequence[float] | None = None,
                 std: Sequence[float] | None = None, bgr_to_rgb: bool = False,
                 rgb_to_bgr: bool = False, **kwargs: Any) -> None:
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb,
                         rgb_to_bgr=rgb_to_bgr, **kwargs)
        # mmseg's own names for these differ between its distributions.
        self.swaps_channels = bgr_to_rgb or rgb_to_bgr
        self.normalises = mean is not None

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Convert channels and normalise.

        Args:
            data: ``inputs`` (images [3, H, W] or one tensor) and ``data_samples``.
            training: Unused; nothing differs.

        Returns:
            dict: ``inputs`` as [B, 3, H, W], or a list of [3, H, W] where sizes
            differ, and ``data_samples``.
        """
        data = self.cast_data(data)
        images = []
        for image in data['inputs']:
            if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
                raise ValueError('expected images of shape [3, H, W] with pixels, got '
                                 f'{tuple(image.shape)}')
            if self.swaps_channels:
                image = image[[2, 1, 0]]
            image = image.float()
            if self.normalises:
                image = (image - self.mean) / self.std
            images.append(image)
        same = len({image.shape for image in images}) == 1
        return dict(inputs=torch.stack(images) if same else images,
                    data_samples=data.get('data_samples'))
