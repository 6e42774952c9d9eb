"""Weights between patches from another encoder (ProxyCLIP, arXiv 2408.04883)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .affinity import cosines, sharpen

CLIP_MEAN, CLIP_STD = (122.771, 116.746, 104.094), (68.501, 66.632, 70.323)


class ProxyAffinity(nn.Module):
    """softmax(scale (S - shift mean S)) of the cosines S of another encoder's patches.

    The encoder is always frozen and in test mode. It belongs to the pictures' side, not
    to the model: it has no parameters there and stands in no checkpoint, so that one
    checkpoint serves with and without it. Its weights are read when it is built, as its
    config says (``init_cfg``, or timm's ``pretrained=True``).

    Args:
        encoder: Config of a backbone of mmpretrain that gives maps, for example
            ``dict(type='VisionTransformer', arch='dinov2-small', patch_size=14, ...)``;
            ``dict(type='TIMMBackbone', model_name=..., ...)`` is any of timm. Of
            several maps the last counts.
        scale: What the similarities are multiplied by.
        shift: Share of their mean that is taken off first.
        share: How much it counts against the read-out's own attention, above 0, up
            to 1.
        input_size: (height, width) in pixels of its images. None: such that its patches
            are CLIP's; else its map is resized.
        patch_size: Pixels of its patches, needed for that; None: as in its config.
        mean: Of its images, RGB of 0 to 255.
        std: Likewise.
        image_mean: Of the images that the backbone gets.
        image_std: Likewise.

    Raises:
        ImportError: mmpretrain is missing.
        ValueError: An argument has no such value.
    """
    encoder: nn.Module
    ratio: Tensor
    offset: Tensor

    def __init__(self, encoder: Mapping[str, Any], scale: float = 3.0,
                 shift: float = 1.2, share: float = 1.0,
                 input_size: tuple[int, int] | None = None,
                 patch_size: int | None = None,
                 mean: Sequence[float] = (123.675, 116.28, 103.53),
                 std: Sequence[float] = (58.395, 57.12, 57.375),
                 image_mean: Sequence[float] = CLIP_MEAN,
                 image_std: Sequence[float] = CLIP_STD) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f'proxy.share must be above 0 and at most 1, got {share}')
        if not scale > 0:
            raise ValueError(f'proxy.scale must be above 0, got {scale}')
        patch_size = patch_size or encoder.get('patch_size') or 0
        if input_size is None and not patch_size:
            raise ValueError('proxy: set proxy.patch_size, the pixels of a patch of '
                             f'{encoder.get("type")}, or proxy.input_size')
        self.scale, self.shift, self.share = scale, shift, share
        self.input_size = input_size
        self.patch_size = patch_size
        ratio = torch.tensor(image_std) / torch.tensor(std)
        offset = (torch.tensor(image_mean) - torch.tensor(mean)) / torch.tensor(std)
        self.register_buffer('ratio', ratio.view(3, 1, 1), persistent=False)
        self.register_buffer('offset', offset.view(3, 1, 1), persistent=False)
        # Past nn.Module's own list: no parameters, no state dict, no train mode.
        self.__dict__['encoder'] = build_encoder(encoder)

    def _apply(self, fn: Callable, recurse: bool = True) -> 'ProxyAffinity':
        """Follow the model to devices and dtypes."""
        super()._apply(fn, recurse)
        self.encoder._apply(fn)
        return self

    @torch.no_grad()
    def forward(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Weights between the patches of a grid.

        Args:
            images: Normalised as ``image_mean`` and ``image_std`` say, [B, 3, H, W].
            grid: Rows and columns; their product is N.

        Returns:
            Tensor: Rows that sum to 1, [B, N, N].

        Raises:
            ValueError: The encoder gives no maps.
        """
        images = images * self.ratio + self.offset
        size = self.input_size or tuple(n * self.patch_size for n in grid)
        if tuple(images.shape[-2:]) != tuple(size):
            images = F.interpolate(images, tuple(size), mode='bilinear',
                                   align_corners=False)
        maps = self.encoder(images)
        features = maps[-1] if isinstance(maps, (list, tuple)) else maps
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise ValueError(
                f'proxy.encoder: {type(self.encoder).__name__} gives no maps [B, C, h, '
                "w]: set out_type='featmap' (mmpretrain's ViTs) or features_only=True "
                '(timm)')
        if tuple(features.shape[-2:]) != tuple(grid):
            features = F.interpolate(features.float(), grid, mode='bilinear',
                                     align_corners=False)
        return sharpen(cosines(features.flatten(2).transpose(1, 2)), self.scale,
                       self.shift)


def build_encoder(config: Mapping[str, Any]) -> nn.Module:
    """A frozen backbone of mmpretrain with its weights.

    Args:
        config: As in ``ProxyAffinity``. ViTs give maps unless it says otherwise.

    Raises:
        ImportError: mmpretrain is missing; names what to install.
        ValueError: There is no such backbone.
    """
    try:
        from mmpretrain.registry import MODELS
    except ImportError as error:
        raise ImportError(
            "a proxy needs mmpretrain: pip install 'mmseg-dcpclip[onedl]', or "
            'mmpretrain beside the OpenMMLab packages that you have') from error
    name = str(config.get('type')).removeprefix('mmpretrain.')
    kind = MODELS.get(name)
    if kind is None:
        raise ValueError(f'proxy.encoder: mmpretrain has no backbone {name!r}; for one '
                         "of timm use type='TIMMBackbone', model_name=...")
    maps: dict[str, Any] = {}
    if name == 'TIMMBackbone':
        maps = dict(features_only=True)
    elif 'featmap' in getattr(kind, 'OUT_TYPES', ()):
        maps = dict(out_type='featmap')
    # mmseg has a VisionTransformer, too
    encoder = MODELS.build({**maps, **config, 'type': name, '_scope_': 'mmpretrain'})
    if not getattr(encoder, 'is_init', False):
        encoder.init_weights()
    encoder.requires_grad_(False)
    encoder.eval()  # mmpretrain's return nothing
    return encoder
