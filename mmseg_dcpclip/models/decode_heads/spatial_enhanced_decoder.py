"""Spatial enhanced decoder (Sec. III-C, Eq. 13-16)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule, ModuleList, bias_init_with_prob
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..losses import LossConfig, build_losses
from ..protocol import CategoryHead, CategoryNeck, ImageEncoder
from ..structures import AlignedFeatures, CLIPFeatures, Pairs, per_pair
from ..tracing import fixed
from .guided_window_attention import GuidedSwinBlock


def attention_map(attention: Tensor, grid: Sequence[int], key_grid: int) -> Tensor:
    """Lay out A_CLIP: the channels of a place are where its query looks.

    Args:
        attention: [B, N, N] (query, key).
        grid: Rows and columns of the N patches.
        key_grid: Keys are pooled to key_grid x key_grid at any resolution.

    Returns:
        Tensor: [B, key_grid ** 2, rows, columns]; a query that looks everywhere
        alike gives ones.
    """
    rows, columns = grid
    maps = attention.reshape(-1, 1, rows, columns)
    if not fixed(rows, columns):
        down, right = (pooling_matrix(n, key_grid, maps) for n in grid)
        maps = down @ maps @ right.T
    elif (rows, columns) != (key_grid, key_grid):
        maps = F.adaptive_avg_pool2d(maps, key_grid)
    maps = maps.view(attention.shape[0], rows * columns, -1) * (rows * columns)
    return maps.transpose(1, 2).unflatten(2, (rows, columns))


def pooling_matrix(size: int, out: int, like: Tensor) -> Tensor:
    """``F.adaptive_avg_pool1d`` as a product, which can be exported for an open size.

    Args:
        size: Places that come in.
        out: Places that go out.
        like: Gives dtype and device.

    Returns:
        Tensor: [out, size].
    """
    place = torch.arange(size, device=like.device)
    step = torch.arange(out, device=like.device)[:, None]
    first, last = step * size // out, ((step + 1) * size + out - 1) // out
    inside = ((place >= first) & (place < last)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)


def _norm(norm_cfg: dict | None, dims: int) -> list[nn.Module]:
    return [] if norm_cfg is None else [build_norm_layer(norm_cfg, dims)[1]]


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    if x.shape[2:] == tuple(size):
        return x
    return F.interpolate(x, tuple(size), mode='bilinear', align_corners=False)


def _lay_out(dims: int, out_dims: int, scale: int) -> nn.Module:
    """Conv on CLIP's blocks with scale x scale places for each patch.

    The paper upsamples F_v without saying how. Learned, as in CAT-Seg (arXiv
    2303.11797), it tells what lies where inside a patch; interpolation cannot.
    """
    if scale == 1:
        return nn.Conv2d(dims, out_dims, 3, padding=1)
    return nn.ConvTranspose2d(dims, out_dims, scale, stride=scale)


@dataclass
class ImageMaps:
    """What one layer takes from the images, the same for all their categories.

    Attributes:
        guidance: For each Swin block what is added to queries and keys,
            [B, nW, L, 2d], or None.
        biases: Position bias and mask of each Swin block.
        skip: F_v's part of the 3 x 3 conv on Eq. 16, [B, out_dims, 2h, 2w], or None.
    """
    guidance: list[Tensor | None]
    biases: list[Tensor]
    skip: Tensor | None

    def __getitem__(self, images: slice) -> 'ImageMaps':
        """The maps of some images."""
        return ImageMaps([None if x is None else x[images] for x in self.guidance],
                         self.biases, None if self.skip is None else self.skip[images])


class SpatialEnhancedLayer(BaseModule):
    """One layer: window attention with guidance, then twice the resolution.

    Args:
        dims: Width d of the category maps that come in; ``out_dims`` go out.
        out_dims: Width behind the layer.
        cost_dims: D_c.
        shallow_dims: Width of F_v; 0 leaves it out (Table VI c).
        attention_dims: Channels of A_CLIP; 0 leaves it out.
        guidance_dims: Width of each of the two behind their convs.
        similarity_dims: Channels of the cost volume in Eq. 16; 0 leaves it out.
        skip_dims: Channels of F_v in Eq. 16.
        spatial_enhance: Whether the Swin blocks are there (Table VI a).
        num_heads: Heads of the window attention.
        window_size: Side of its windows.
        mlp_ratio: Of its MLPs.
        norm_cfg: Norm behind the 3 x 3 convs, or None.
        scale: Places that come in per patch and direction.
    """

    def __init__(self, dims: int, out_dims: int, cost_dims: int, shallow_dims: int,
                 attention_dims: int, guidance_dims: int, similarity_dims: int,
                 skip_dims: int, spatial_enhance: bool, num_heads: int,
                 window_size: int, mlp_ratio: float, norm_cfg: dict | None,
                 scale: int) -> None:
        super().__init__()
        self.shallow_conv: nn.Module | None = None
        self.attention_conv: nn.Module | None = None
        self.blocks: ModuleList | None = None
        if spatial_enhance:
            if shallow_dims:
                self.shallow_conv = _lay_out(shallow_dims, guidance_dims, scale)
            if attention_dims:
                self.attention_conv = nn.Conv2d(attention_dims, guidance_dims, 3,
                                                padding=1)
            parts = (self.shallow_conv is not None) + (self.attention_conv is not None)
            self.blocks = ModuleList(
                GuidedSwinBlock(dims, parts * guidance_dims, num_heads, window_size,
                                shift, mlp_ratio) for shift in (False, True))
        self.upsample = nn.ConvTranspose2d(dims, out_dims, 2, stride=2)  # Eq. 15
        self.similarity_conv: nn.Module | None = None
        self.skip_conv: nn.Module | None = None
        self.fuse_skip: nn.Module | None = None
        if similarity_dims:
            self.similarity_conv = nn.Conv2d(cost_dims, similarity_dims, 1)
        self.fuse = nn.Conv2d(out_dims + similarity_dims, out_dims, 3, padding=1)
        if shallow_dims:
            self.skip_conv = _lay_out(shallow_dims, skip_dims, 2 * scale)
            # the part of the 3 x 3 conv on Eq. 16 that sees the image only
            self.fuse_skip = nn.Conv2d(skip_dims, out_dims, 3, padding=1, bias=False)
        self.refine = nn.Sequential(
            *_norm(norm_cfg, out_dims), nn.ReLU(inplace=True),
            nn.Conv2d(out_dims, out_dims, 3, padding=1),
            *_norm(norm_cfg, out_dims), nn.ReLU(inplace=True))

    def image_maps(self, size: Sequence[int], shallow: Tensor | None,
                   attention: Tensor | None) -> ImageMaps:
        """Everything that needs the images only.

        Args:
            size: h and w of the category maps that come in.
            shallow: F_v, [B, W, h0, w0], or None.
            attention: A_CLIP, [B, K, h0, w0], or None.

        Returns:
            ImageMaps: For ``forward``.
        """
        guidance, biases, skip = [], [], None
        if self.blocks is not None:
            # Eq. 13, the image's part of F_m: conv(F_v) and conv(A_CLIP)
            parts = [_resize(conv(x), size) for conv, x in
                     ((self.shallow_conv, shallow), (self.attention_conv, attention))
                     if conv is not None]
            joined = torch.cat(parts, 1).permute(0, 2, 3, 1) if parts else None
            for block in self.blocks:
                guidance.append(None if joined is None else block.attn.guide(joined))
                biases.append(block.attn.bias(size))
        if self.skip_conv is not None and self.fuse_skip is not None:
            skip = self.fuse_skip(self.skip_conv(shallow))  # Eq. 16, up(conv(F_v))
        return ImageMaps(guidance, biases, skip)

    def forward(self, x: Tensor, cost: Tensor, maps: ImageMaps, image: Tensor
                ) -> Tensor:
        """Decode one step.

        Args:
            x: Category maps, [M, d, h, w].
            cost: F_cv, [M, D_c, h0, w0].
            maps: From ``image_maps``.
            image: Image of each pair, [M].

        Returns:
            Tensor: [M, out_dims, 2h, 2w].
        """
        if self.blocks is not None:
            x = x.permute(0, 2, 3, 1)
            for block, guidance, bias in zip(self.blocks, maps.guidance, maps.biases):
                x = block(x, guidance, image, bias)  # Eq. 13-14, F_l
            x = x.permute(0, 3, 1, 2)
        x = self.upsample(x)  # Eq. 15, F_h
        if self.similarity_conv is not None:
            # Eq. 16, up(F_cv): 1 x 1 conv and resizing commute, the smaller one first
            x = torch.cat([x, _resize(self.similarity_conv(cost), x.shape[2:])], 1)
        x = self.fuse(x)  # the 3 x 3 conv on F_out of Eq. 16; F_v's part comes next
        if maps.skip is not None:
            x += per_pair(maps.skip, image)
        return self.refine(x)


@MODELS.register_module()
class SpatialEnhancedDecoder(CategoryHead):
    """Decodes category maps to four times the patch resolution (Eq. 13-16).

    Everything that depends on the image only is computed once per image and added to
    the category maps; no concatenation repeats it per category.

    Args:
        cost_dims: D_c, width of the category maps that come in. In a DCPCLIP the neck
            decides it, and the backbone ``shallow_dims`` and ``num_shallow``.
        shallow_dims: Width W of the shallow maps (F_v), or one width for each.
        num_shallow: How many of the backbone's shallow maps are used, the first ones.
        num_layers: N_s (Table VI b).
        guidance_dims: Widths of F_v and of A_CLIP in Eq. 13, per layer.
        spatial_enhance: Window attention (Table VI a).
        fuse_shallow: Use F_v (F_patch in Table VI c).
        fuse_similarity: Use the cost volume in Eq. 16 (F_sim).
        fuse_attention: Use A_CLIP in Eq. 13.
        attention_grid: Side of the grid to which the keys of A_CLIP are pooled.
        similarity_dims: Channels of the cost volume in Eq. 16, per layer.
        skip_dims: Channels of F_v in Eq. 16, per layer.
        num_heads: Heads of the window attention, per layer.
        window_size: Side of its windows.
        mlp_ratio: Of its MLPs.
        norm_cfg: Norm behind the 3 x 3 convs, as in mmcv. None: no norm. A group norm
            levels each category's map by itself and so hides whether the category is
            there at all.
        loss_decode: The segmentation loss, or several.
        init_cfg: As in mmengine.
    """

    at_most = ('num_shallow', )

    def __init__(self,
                 cost_dims: int = 48,
                 shallow_dims: int | Sequence[int] = 768,
                 num_shallow: int = 2,
                 num_layers: int = 2,
                 spatial_enhance: bool = True,
                 fuse_shallow: bool = True,
                 fuse_similarity: bool = True,
                 fuse_attention: bool = True,
                 attention_grid: int = 24,
                 guidance_dims: Sequence[int] = (160, 96),
                 similarity_dims: Sequence[int] = (16, 8),
                 skip_dims: Sequence[int] = (64, 48),
                 num_heads: Sequence[int] = (2, 1),
                 window_size: int = 12,
                 mlp_ratio: float = 2,
                 norm_cfg: dict | None = None,
                 loss_decode: LossConfig = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        widths = dict(guidance_dims=guidance_dims, similarity_dims=similarity_dims,
                      skip_dims=skip_dims, num_heads=num_heads)
        for name, values in widths.items():
            if len(values) < num_layers:
                raise ValueError(f'{num_layers} decoder layers need as many {name}, '
                                 f'got {tuple(values)}')
        self.attention_grid = attention_grid
        each = ([shallow_dims] * num_shallow if isinstance(shallow_dims, int)
                else list(shallow_dims)[:num_shallow])
        self.num_shallow = num_shallow if fuse_shallow else 0
        # A_CLIP enters through the window attention only.
        self.with_attention = fuse_attention and spatial_enhance and num_layers > 0
        self.layers = ModuleList()
        dims = cost_dims
        for i in range(num_layers):
            self.layers.append(SpatialEnhancedLayer(
                dims, dims // 2, cost_dims, sum(each[:self.num_shallow]),
                attention_grid**2 if self.with_attention else 0, guidance_dims[i],
                similarity_dims[i] if fuse_similarity else 0, skip_dims[i],
                spatial_enhance, num_heads[i], window_size, mlp_ratio, norm_cfg,
                2**i))
            dims //= 2
        self.conv_seg = nn.Conv2d(dims, 1, 3, padding=1)
        self.loss_decode = build_losses(loss_decode)

    @classmethod
    def sizes(cls, backbone: ImageEncoder, neck: CategoryNeck) -> dict[str, Any]:
        """The widths of the neck's maps and of the shallow maps, and their number."""
        widths = tuple(backbone.shallow_dims)
        same = len(set(widths)) == 1
        return dict(cost_dims=neck.cost_dims, num_shallow=len(widths),
                    shallow_dims=widths[0] if same else widths)

    def init_weights(self) -> None:
        super().init_weights()
        # A selected category covers about a tenth of the pixels (arXiv 1708.02002).
        assert self.conv_seg.bias is not None
        nn.init.constant_(self.conv_seg.bias, bias_init_with_prob(0.1))

    def prepare(self, features: CLIPFeatures) -> list[ImageMaps]:
        """What every layer takes from the images.

        Args:
            features: The encoder's view of B images; with ``attention`` where
                ``self.with_attention``.

        Returns:
            list[ImageMaps]: One for each layer.
        """
        shallow = attention = None
        if self.num_shallow:
            shallow = torch.cat(features.shallow[:self.num_shallow], 1)
        if self.with_attention:
            if features.attention is None:
                raise ValueError('the decoder needs the attention of the image encoder')
            attention = attention_map(features.attention, features.grid,
                                      self.attention_grid)
        return [layer.image_maps([n * 2**i for n in features.grid], shallow, attention)
                for i, layer in enumerate(self.layers)]

    def forward(self, features: CLIPFeatures, aligned: AlignedFeatures, pairs: Pairs,
                prepared: list[ImageMaps] | None = None) -> Tensor:
        """Decode.

        Args:
            features: As in ``prepare``.
            aligned: Maps of M pairs from the neck.
            pairs: M pairs.
            prepared: What ``prepare`` gave for these images, where ``pairs`` are
                only some of theirs.

        Returns:
            Tensor: Logits, [M, h * 2 ** N_s, w * 2 ** N_s].
        """
        maps = self.prepare(features) if prepared is None else prepared
        x = aligned.refined
        for layer, layer_maps in zip(self.layers, maps):
            x = layer(x, aligned.cost, layer_maps, pairs.image)
        return self.conv_seg(x).squeeze(1)  # of F_last
