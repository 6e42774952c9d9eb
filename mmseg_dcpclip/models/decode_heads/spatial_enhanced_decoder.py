"""Spatial enhanced decoder (Sec. III-C, Eq. 13-16)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule, ModuleList, bias_init_with_prob
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..clip.features import CLIPFeatures
from ..necks.cost_volume import AlignedFeatures
from ..selection import Pairs
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
    if (rows, columns) != (key_grid, key_grid):
        maps = F.adaptive_avg_pool2d(maps, key_grid)
    maps = maps.view(len(attention), rows * columns, -1) * (rows * columns)
    return maps.transpose(1, 2).unflatten(2, (rows, columns))


def _norm(norm_cfg: dict | None, dims: int) -> list[nn.Module]:
    return [] if norm_cfg is None else [build_norm_layer(norm_cfg, dims)[1]]


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode='bilinear', align_corners=False)


class SpatialEnhancedLayer(BaseModule):
    """One layer: window attention with guidance, then twice the resolution.

    Args:
        dims: Width d of the category maps that come in; ``out_dims`` go out.
        out_dims: Width behind the layer.
        cost_dims: D_c.
        shallow_dims: Width of F_v; 0 leaves it out (Table VI c).
        attention_dims: Channels of A_CLIP; 0 leaves it out.
        similarity_dims: Channels of the cost volume in Eq. 16; 0 leaves it out.
        skip_dims: Channels of F_v in Eq. 16.
        spatial_enhance: Whether the Swin blocks are there (Table VI a).
        num_heads: Heads of the window attention.
        window_size: Side of its windows.
        mlp_ratio: Of its MLPs.
        norm_cfg: Norm behind the 3 x 3 convs, or None.
    """

    def __init__(self, dims: int, out_dims: int, cost_dims: int, shallow_dims: int,
                 attention_dims: int, similarity_dims: int, skip_dims: int,
                 spatial_enhance: bool, num_heads: int, window_size: int,
                 mlp_ratio: float, norm_cfg: dict | None) -> None:
        super().__init__()
        self.shallow_conv = self.attention_conv = self.blocks = None
        if spatial_enhance:
            guidance_dims = 0
            if shallow_dims:
                self.shallow_conv = nn.Conv2d(shallow_dims, dims, 3, padding=1)
                guidance_dims += dims
            if attention_dims:
                self.attention_conv = nn.Conv2d(attention_dims, dims, 3, padding=1)
                guidance_dims += dims
            self.blocks = ModuleList(
                GuidedSwinBlock(dims, guidance_dims, num_heads, window_size, shift,
                                mlp_ratio) for shift in (False, True))
        self.upsample = nn.ConvTranspose2d(dims, out_dims, 2, stride=2)  # Eq. 15
        self.similarity_conv = self.skip_conv = self.fuse_skip = None
        if similarity_dims:
            self.similarity_conv = nn.Conv2d(cost_dims, similarity_dims, 1)
        self.fuse = nn.Conv2d(out_dims + similarity_dims, out_dims, 3, padding=1)
        if shallow_dims:
            self.skip_conv = nn.Conv2d(shallow_dims, skip_dims, 3, padding=1)
            # the part of the 3 x 3 conv on Eq. 16 that sees the image only
            self.fuse_skip = nn.Conv2d(skip_dims, out_dims, 3, padding=1, bias=False)
        self.refine = nn.Sequential(
            *_norm(norm_cfg, out_dims), nn.ReLU(inplace=True),
            nn.Conv2d(out_dims, out_dims, 3, padding=1),
            *_norm(norm_cfg, out_dims), nn.ReLU(inplace=True))

    def forward(self, x: Tensor, cost: Tensor, shallow: Tensor | None,
                attention: Tensor | None, image: Tensor) -> Tensor:
        """Decode one step.

        Args:
            x: Category maps, [M, d, h, w].
            cost: F_cv, [M, D_c, h0, w0].
            shallow: F_v, [B, W, h0, w0], or None.
            attention: A_CLIP, [B, K, h0, w0], or None.
            image: Image of each pair, [M].

        Returns:
            Tensor: [M, out_dims, 2h, 2w].
        """
        if self.blocks is not None:
            guidance = self._guidance(x.shape[2:], shallow, attention)
            x = x.permute(0, 2, 3, 1)
            for block in self.blocks:
                x = block(x, guidance, image)
            x = x.permute(0, 3, 1, 2)
        x = self.upsample(x)
        size = x.shape[2:]
        if self.similarity_conv is not None:
            # 1 x 1 conv and resizing commute: the smaller one first
            x = torch.cat([x, _resize(self.similarity_conv(cost), size)], 1)
        x = self.fuse(x)
        if self.skip_conv is not None:
            skip = _resize(self.skip_conv(shallow), size)
            x = x + self.fuse_skip(skip).index_select(0, image)
        return self.refine(x)

    def _guidance(self, size: Sequence[int], shallow: Tensor | None,
                  attention: Tensor | None) -> Tensor | None:
        """What the image adds to F_m of Eq. 13, [B, h, w, g]."""
        parts = [_resize(conv(x), size) for conv, x in
                 ((self.shallow_conv, shallow), (self.attention_conv, attention))
                 if conv is not None]
        return torch.cat(parts, 1).permute(0, 2, 3, 1) if parts else None


@MODELS.register_module()
class SpatialEnhancedDecoder(BaseModule):
    """Decodes category maps to four times the patch resolution (Eq. 13-16).

    Everything that depends on the image only is computed once per image and added to
    the category maps; no concatenation repeats it per category.

    Args:
        cost_dims: D_c, width of the category maps that come in.
        shallow_dims: Width W of CLIP's blocks.
        num_shallow: How many shallow maps the backbone returns; all are used.
        num_layers: N_s (Table VI b).
        spatial_enhance: Window attention (Table VI a).
        fuse_shallow: Use F_v (F_patch in Table VI c).
        fuse_similarity: Use the cost volume in Eq. 16 (F_sim).
        fuse_attention: Use A_CLIP in Eq. 13.
        attention_grid: Side of the grid to which the keys of A_CLIP are pooled.
        similarity_dims: Channels of the cost volume in Eq. 16, per layer.
        skip_dims: Channels of F_v in Eq. 16, per layer.
        num_heads: Heads of the window attention.
        window_size: Side of its windows.
        mlp_ratio: Of its MLPs.
        norm_cfg: Norm behind the 3 x 3 convs, as in mmcv. None: no norm. A group norm
            levels each category's map by itself and so hides whether the category is
            there at all.
        loss_decode: The segmentation loss.
        init_cfg: As in mmengine.
    """

    def __init__(self,
                 cost_dims: int = 128,
                 shallow_dims: int = 768,
                 num_shallow: int = 2,
                 num_layers: int = 2,
                 spatial_enhance: bool = True,
                 fuse_shallow: bool = True,
                 fuse_similarity: bool = True,
                 fuse_attention: bool = True,
                 attention_grid: int = 24,
                 similarity_dims: Sequence[int] = (16, 8),
                 skip_dims: Sequence[int] = (48, 32),
                 num_heads: int = 4,
                 window_size: int = 12,
                 mlp_ratio: float = 4,
                 norm_cfg: dict | None = None,
                 loss_decode: dict | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if min(len(similarity_dims), len(skip_dims)) < num_layers:
            raise ValueError(f'{num_layers} decoder layers need as many '
                             f'similarity_dims and skip_dims, got '
                             f'{tuple(similarity_dims)} and {tuple(skip_dims)}')
        self.attention_grid = attention_grid
        self.num_shallow = num_shallow if fuse_shallow else 0
        # A_CLIP enters through the window attention only.
        self.with_attention = fuse_attention and spatial_enhance and num_layers > 0
        self.layers = ModuleList()
        dims = cost_dims
        for i in range(num_layers):
            self.layers.append(SpatialEnhancedLayer(
                dims, dims // 2, cost_dims, self.num_shallow * shallow_dims,
                attention_grid**2 if self.with_attention else 0,
                similarity_dims[i] if fuse_similarity else 0, skip_dims[i],
                spatial_enhance, num_heads, window_size, mlp_ratio, norm_cfg))
            dims //= 2
        self.conv_seg = nn.Conv2d(dims, 1, 3, padding=1)
        self.loss_decode = MODELS.build(loss_decode or dict(type='SelectedBCELoss'))

    def init_weights(self) -> None:
        super().init_weights()
        # A selected category covers about a tenth of the pixels (arXiv 1708.02002).
        nn.init.constant_(self.conv_seg.bias, bias_init_with_prob(0.1))

    def forward(self, features: CLIPFeatures, aligned: AlignedFeatures, pairs: Pairs
                ) -> Tensor:
        """Decode.

        Args:
            features: CLIP's view of B images; with ``attention`` where
                ``self.with_attention``.
            aligned: Maps of M pairs from the neck.
            pairs: M pairs.

        Returns:
            Tensor: Logits, [M, h * 2 ** N_s, w * 2 ** N_s].
        """
        shallow = attention = None
        if self.num_shallow:
            shallow = torch.cat(features.shallow[:self.num_shallow], 1)
        if self.with_attention:
            attention = attention_map(features.attention, features.grid,
                                      self.attention_grid)
        x = aligned.refined
        for layer in self.layers:
            x = layer(x, aligned.cost, shallow, attention, pairs.image)
        return self.conv_seg(x).squeeze(1)
