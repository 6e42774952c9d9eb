"""The image encoder on some images at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..structures import CLIPFeatures

# Pixels at once without gradients on a CPU: of more its caches make batches slower, two
# views of 384 x 384 in ViT-B/16; small pictures are faster together.
MAX_PIXELS = 2 * 384**2


def encode_in_parts(encode: Callable[[Tensor], CLIPFeatures], images: Tensor
                    ) -> CLIPFeatures:
    """Features of images; on a CPU some at a time.

    Args:
        encode: The encoder.
        images: [B, 3, H, W].

    Returns:
        CLIPFeatures: Of all images, the same however they are split.
    """
    most = max(1, MAX_PIXELS // max(1, images.shape[-2] * images.shape[-1]))
    if images.device.type != 'cpu' or torch.is_grad_enabled() or len(images) <= most:
        return encode(images)
    return CLIPFeatures.cat([encode(part) for part in images.split(most)])
