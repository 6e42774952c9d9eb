"""CLIP's image encoder as an mmseg backbone."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..clip.checkpointing import run_block
from ..clip.last_block import LastBlock
from ..clip.layers import (
    block_with_attention,
    resize_position_embedding,
    spatial_size,
)
from ..clip.loading import CLIPWeights, clip_config
from ..clip.proxy import ProxyAffinity
from ..clip.readouts import ReadOut
from ..clip.region_cls import region_class_tokens
from ..clip.tower import CLIPTower
from ..regions import region_patches
from ..structures import CLIPFeatures
from ..tracing import fixed

# Parameters that precede the blocks.
STEM = ('visual.conv1.', 'visual.class_embedding', 'visual.positional_embedding',
        'visual.ln_pre.')


@MODELS.register_module()
class CLIPVisionBackbone(CLIPTower):
    """The image tower of any CLIP ViT of open_clip.

    Two ways to use it:

    - for DCP-CLIP (``plain=False``): ``forward`` returns
      ``CLIPFeatures``;
    - for stock mmseg heads (``plain=True``): it returns a tuple of token maps of the
      blocks in ``out_indices``, all at 1 / patch size; nothing behind the last of
      these blocks is run or trained.

    Weights are read by ``init_weights`` (which the Runner calls before training)
    or come with a checkpoint; the activation that they need is stored with them.

    Args:
        model_name: A ViT of open_clip, for example ``'ViT-B-16'``,
            ``'ViT-L-14-336'``; or ``'mini-ViT-8'``.
        pretrained: A tag of open_clip (``'openai'``), a file, or None for random
            weights.
        out_indices: Blocks whose token maps are returned, counted from 0. For
            DCP-CLIP the shallow features F_v, for example (3, 7) of 12.
        plain: Return a tuple of maps for stock heads.
        trainable: ``'none'``, ``'qv'`` (weights of the q and v projections, the
            paper's lineage), ``'attention'`` or ``'all'``.
        input_size: (height, width) in pixels to which images are resized first.
            None: the nearest multiple of the patch size.
        read_out: How patch features are read out of the last block: a name, or
            ``dict(type=name)`` with arguments, of ``READ_OUTS`` (``clip/readouts.py``):
            plain, value, catseg, qq, csa, kk_gauss, rcs, procrustes, self_calibrated,
            or a function. The class feature is the plain one with each.
        proxy: Arguments of ``ProxyAffinity``: another encoder's view of which patches
            belong together, in place of the attention of the read-out.
        quick_gelu: Overrules what is known of the weights' activation.
        with_cp: In training keep the tokens between the blocks only, not what the
            blocks compute inside, which the backward pass then computes again: one
            more forward pass of the blocks for most of their memory.
        init_cfg: As in mmengine.

    Attributes:
        joint_dims: D, width of the joint space.
        embed_dims: W, width of the blocks.
        shallow_dims: W for each of ``out_indices``.
    """
    visual: Any
    gives_attention = True

    def __init__(self,
                 model_name: str = 'ViT-B-16',
                 pretrained: str | None = None,
                 out_indices: Sequence[int] = (3, 7),
                 plain: bool = False,
                 trainable: str = 'qv',
                 input_size: tuple[int, int] | None = None,
                 read_out: str | dict = 'plain',
                 proxy: dict | None = None,
                 quick_gelu: bool | None = None,
                 with_cp: bool = False,
                 init_cfg: dict | None = None) -> None:
        clip_config(model_name)  # refuses what is no ViT
        super().__init__('visual', model_name, pretrained, trainable, quick_gelu,
                         init_cfg)
        self.plain = plain
        self.with_cp = with_cp
        self.input_size = input_size
        self.patch_size = self.visual.conv1.kernel_size
        self.embed_dims = self.visual.conv1.out_channels
        self.joint_dims = self.visual.proj.shape[1]

        num_blocks = len(self.blocks)
        self.read_out = ReadOut(read_out, num_blocks)
        if plain and (self.read_out.name != 'plain' or proxy is not None):
            raise ValueError('plain=True gives maps of blocks and reads nothing out: '
                             'leave read_out and proxy out')
        if proxy is not None and not self.read_out.attends:
            raise ValueError(f'read_out {self.read_out.name!r} has no attention for a '
                             'proxy to stand in: use kk_gauss')
        self.proxy = None if proxy is None else ProxyAffinity(**proxy)
        self.out_indices = tuple(i + num_blocks if i < 0 else i for i in out_indices)
        if any(not 0 <= i < num_blocks for i in self.out_indices):
            raise ValueError(f'out_indices {tuple(out_indices)} do not fit the '
                             f'{num_blocks} blocks of {model_name}')
        self.shallow_dims = (self.embed_dims, ) * len(self.out_indices)
        if plain:  # What is never run must not wait for gradients (DDP).
            for block in self.blocks[max(self.out_indices) + 1:]:
                block.requires_grad_(False)
            self.visual.ln_post.requires_grad_(False)
            self.visual.proj.requires_grad_(False)

    @property
    def blocks(self) -> Any:
        """nn.ModuleList: open_clip's blocks."""
        return self.visual.transformer.resblocks

    @property
    def whole_blocks(self) -> list[nn.Module]:
        """list: Blocks that run as a whole; read-outs take the last one apart."""
        return list(self.blocks if self.plain else self.blocks[:-1])

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Where a parameter stands, for learning rates that decay with depth.

        Args:
            param_name: Its name in the model.
            prefix: What precedes the backbone's own names there, ``'backbone.'``.

        Returns:
            tuple: 0 for what precedes the blocks, i + 1 for block i, and for all else,
            a head's parameters too, one more than the last block's; and the number of
            depths.
        """
        num_layers = len(self.blocks) + 2
        name = param_name.removeprefix(prefix)
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        if name.startswith(STEM):
            return 0, num_layers
        block = re.match(r'visual\.transformer\.resblocks\.(\d+)\.', name)
        return int(block[1]) + 1 if block else num_layers - 1, num_layers

    def grid_of(self, size: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of patches of images of a height and width."""
        rows, columns = (n // p for n, p in zip(self._encoded_size(size),
                                                self.patch_size))
        return rows, columns

    def _encoded_size(self, size: Sequence[int]) -> Sequence[int]:
        """Height and width to which images are resized."""
        return self.input_size or [
            max(1, round(n / p)) * p for n, p in zip(size, self.patch_size)]

    def load_clip(self, weights: CLIPWeights) -> None:
        """Take the image tower of loaded weights, of any input size.

        Raises:
            ValueError: They belong to another architecture.
        """
        state = dict(weights.visual)
        table, own = state.get('positional_embedding'), self.visual.positional_embedding
        if table is not None and table.shape[1] == own.shape[1]:
            side = round((len(own) - 1)**0.5)
            state['positional_embedding'] = resize_position_embedding(
                table, (side, side))
        super().load_clip(replace(weights, visual=state))

    def forward(self, images: Tensor, with_attention: bool = False,
                with_mean_attention: bool = False) -> CLIPFeatures | tuple[Tensor, ...]:
        """Encode images.

        Args:
            images: Normalised RGB, [B, 3, H, W]; any size.
            with_attention: Also return the last block's attention (A_CLIP); not in
                plain mode.
            with_mean_attention: Also return the mean attention of the blocks before
                it, which the fused kernel cannot give; not in plain mode.

        Returns:
            CLIPFeatures, or with ``plain`` a tuple of maps [B, W, h, w].
        """
        x = self._patches(images)
        grid = spatial_size(x)
        x = self._embed(x, grid)
        with_cp = self.with_cp and self.training
        maps: list[Tensor] = []
        last = max(self.out_indices) + 1 if self.plain else len(self.blocks) - 1
        mean_attention: Tensor | None = None
        outputs = {0: x} if 0 in self.read_out.reads else {}
        for i, block in enumerate(self.blocks[:last]):
            if with_mean_attention and not self.plain:
                x, own = run_block(block_with_attention, block, x, with_cp=with_cp)
                share = own.detach()[:, 1:, 1:] / last
                mean_attention = (share if mean_attention is None
                                  else mean_attention + share)
            else:
                x = run_block(block, x, with_cp=with_cp)
            if i + 1 in self.read_out.reads:
                outputs[i + 1] = x
            if i in self.out_indices:
                maps.append(_token_map(x, grid))
        if self.plain:
            return tuple(maps)

        proxy = None if self.proxy is None else self.proxy(images, grid)
        cls, patches, tokens, attention = run_block(
            self._last_block, x, outputs, grid, proxy, with_attention, with_cp=with_cp)
        if tokens is not None and len(self.blocks) - 1 in self.out_indices:
            maps.append(_token_map(tokens, grid))
        return CLIPFeatures(
            cls=self._project(cls), patch=self._project(patches), grid=grid,
            shallow=tuple(maps),
            attention=None if attention is None else attention[:, 1:, 1:],
            mean_attention=mean_attention)

    def region_cls(self, image: Tensor, seg_map: Tensor, categories: Tensor) -> Tensor:
        """[CLS] that sees one region alone, see ``region_class_tokens``.

        Args:
            image: Normalised RGB, [1, 3, H, W].
            seg_map: Category ids of the same picture, int64 [h, w], of any size.
            categories: Ids that occur in the map, sorted, [K].

        Returns:
            Tensor: [K, D].
        """
        x = self._patches(image)
        grid = spatial_size(x)
        regions = region_patches(seg_map, categories, grid)[None]
        x = region_class_tokens(self.blocks, self._embed(x, grid), regions)
        return self._project(x)[0]

    def _patches(self, images: Tensor) -> Tensor:
        """Resize if need be and embed patches, [B, W, h, w]."""
        own = spatial_size(images)
        size: Sequence[int] = own  # open in an export: multiples of the patch size
        if self.input_size or fixed(*own):
            size = self._encoded_size(own)
        if own != tuple(size):
            images = F.interpolate(images, tuple(size), mode='bilinear',
                                   align_corners=False)
        return self.visual.conv1(images)

    def _embed(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Add [CLS] and positions, [B, 1 + N, W]."""
        visual = self.visual
        table = resize_position_embedding(visual.positional_embedding, grid)
        x = x.flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
        x = torch.cat([first, x], dim=1) + table.to(x.dtype)
        return visual.ln_pre(visual.patch_dropout(x))

    def _last_block(self, x: Tensor, outputs: dict[int, Tensor],
                    grid: tuple[int, int], proxy: Tensor | None, with_attention: bool
                    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """[CLS] and patches behind the last block, all its tokens, its attention.

        The block as it is runs for all tokens only where the read-out or
        ``out_indices`` want them; else for [CLS] alone.
        """
        plain = self.read_out.name == 'plain'
        tokens: Tensor | None = None
        if plain or len(self.blocks) - 1 in self.out_indices:
            block = self.blocks[-1]
            tokens, attention = (block_with_attention(block, x) if with_attention
                                 else (block(x), None))
            if plain:
                return tokens[:, 0], tokens[:, 1:], tokens, attention
        last = LastBlock(self.blocks, x, outputs, grid, proxy,
                         1.0 if self.proxy is None else self.proxy.share)
        if tokens is None:
            cls, attention = last.class_token(with_attention)
        else:
            cls = tokens[:, 0]
        return cls, self.read_out(last), tokens, attention

    def _project(self, x: Tensor) -> Tensor:
        """Tokens [..., W] into the joint space [..., D]."""
        return self.visual.ln_post(x) @ self.visual.proj


def _token_map(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Patch tokens [B, 1 + N, W] as a map [B, W, h, w]."""
    return x[:, 1:].transpose(1, 2).unflatten(2, grid)
