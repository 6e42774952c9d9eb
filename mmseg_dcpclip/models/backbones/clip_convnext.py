"""The image tower of a ConvNeXt CLIP, as SED and FC-CLIP use it."""

import re
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..clip.checkpointing import run_block
from ..clip.layers import load_tower, spatial_size
from ..clip.loading import CLIPWeights, build_tower, clip_config, load_clip_weights
from ..structures import CLIPFeatures
from ..tracing import fixed

STRIDE = 32  # pixels per patch and direction


@MODELS.register_module()
class CLIPConvNeXtBackbone(BaseModule):
    """A ConvNeXt of open_clip with dense features in the joint space.

    What CLIP does behind its global pooling (norm and projection) is done at every
    place instead (FC-CLIP, arXiv 2308.02487), so that patches and words can be
    compared. There is no attention to give, and no [CLS] token: ``cls`` is CLIP's own
    image feature.

    Args:
        model_name: A ConvNeXt of open_clip, for example ``'convnext_base_w'``, or a
            path of an open_clip model config.
        pretrained: A tag of open_clip (``'laion2b_s13b_b82k'``), a file, or None for
            random weights.
        out_indices: Stages (0 to 3) whose maps are the shallow features F_v; they are
            pooled to the grid of the patches.
        trainable: ``'none'`` or ``'all'`` (as SED, arXiv 2311.15537, trains it).
        with_cp: In training keep the maps between the blocks only, not what the blocks
            compute inside, which the backward pass then computes again: one more
            forward pass of the blocks for most of their memory.
        read_out: Refused: a ConvNeXt has no attention to read out of otherwise.
        init_cfg: As in mmengine.

    Attributes:
        joint_dims: D, width of the joint space.
        shallow_dims: Widths of the stages in ``out_indices``.

    Raises:
        ValueError: The model is no ConvNeXt, or an argument has no such value.
    """
    visual: Any
    gives_attention = False
    quick_gelu_option: bool | None = False  # timm's towers know GELU only

    def __init__(self,
                 model_name: str = 'convnext_base_w',
                 pretrained: str | None = None,
                 out_indices: Sequence[int] = (1, 2),
                 trainable: str = 'none',
                 with_cp: bool = False,
                 read_out: str | dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if read_out is not None:
            raise ValueError(
                f'read_out={read_out!r}: the read-outs change the last attention block '
                'of a ViT, and a ConvNeXt has none; leave read_out out, or use '
                'CLIPVisionBackbone')
        config = clip_config(model_name, tower='text')
        timm_name = config['vision_cfg'].get('timm_model_name') or ''
        if 'convnext' not in timm_name:
            raise ValueError(f'{model_name!r} is no ConvNeXt CLIP; for a ViT use '
                             'CLIPVisionBackbone')
        if trainable not in ('none', 'all'):
            raise ValueError(f"trainable must be 'none' or 'all', got {trainable!r}")
        self.model_name = model_name
        self.pretrained = pretrained
        self.trainable = trainable
        self.with_cp = with_cp
        self.visual = build_tower(model_name, 'visual', False)
        self.visual.requires_grad_(trainable == 'all')
        trunk = self.visual.trunk
        self.out_indices = tuple(out_indices)
        if any(not 0 <= i < len(trunk.stages) for i in self.out_indices):
            raise ValueError(f'out_indices {self.out_indices} do not fit the '
                             f'{len(trunk.stages)} stages of {model_name}')
        self.joint_dims = config['embed_dim']
        self.shallow_dims = tuple(trunk.feature_info[i]['num_chs']
                                  for i in self.out_indices)

    def init_weights(self) -> None:
        """Read the pretrained weights, if any."""
        super().init_weights()
        if self.pretrained is not None:
            self.load_clip(load_clip_weights(self.model_name, self.pretrained, False))

    def load_clip(self, weights: CLIPWeights) -> None:
        """Take the image tower of loaded weights.

        Raises:
            ValueError: They belong to another architecture.
        """
        load_tower(self.visual, weights.visual,
                   f'{weights.source!r} for {self.model_name}')

    @property
    def whole_blocks(self) -> list[nn.Module]:
        """list: Blocks that run as a whole, here all of them."""
        return [block for stage in self.visual.trunk.stages for block in stage.blocks]

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Where a parameter stands, for learning rates that decay with depth.

        The depths are mmpretrain's for a ConvNeXt: three blocks of the third stage
        share one, every other stage is one.

        Args:
            param_name: Its name in the model.
            prefix: What precedes the backbone's own names there, ``'backbone.'``.

        Returns:
            tuple: 0 for the stem, then the stages', and for all else, a head's
            parameters too, one more than the last stage's; and the number of depths.
        """
        last = 12 if len(self.visual.trunk.stages[-2].blocks) > 9 else 6
        depth = last + 1
        if param_name.startswith(prefix):
            name = param_name.removeprefix(prefix)
            place = re.match(
                r'visual\.trunk\.stages\.(\d)\.(?:downsample|blocks\.(\d+))\.', name)
            if name.startswith('visual.trunk.stem.'):
                depth = 0
            elif place:
                stage, block = int(place[1]), int(place[2] or 0)
                shared = block // 3 if stage == 2 else 0
                depth = last if stage == 3 else stage + 1 + shared
        return depth, last + 2

    def grid_of(self, size: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of patches of images of a height and width."""
        rows, columns = (max(1, round(n / STRIDE)) for n in size)
        return rows, columns

    def forward(self, images: Tensor, with_attention: bool = False,
                with_mean_attention: bool = False) -> CLIPFeatures:
        """Encode images.

        Args:
            images: Normalised RGB, [B, 3, H, W]; resized to multiples of 32 pixels.
            with_attention: Refused: there is none.
            with_mean_attention: Refused, too.

        Returns:
            CLIPFeatures: On a grid of 32 pixels per patch.

        Raises:
            ValueError: Attention is asked for.
        """
        if with_attention or with_mean_attention:
            raise ValueError('a ConvNeXt has no attention to give')
        own = spatial_size(images)
        size = own  # open in an export: multiples of 32
        if fixed(*own):
            rows, columns = self.grid_of(own)
            size = rows * STRIDE, columns * STRIDE
        if own != size:
            images = F.interpolate(images, size, mode='bilinear', align_corners=False)
        trunk = self.visual.trunk
        x = trunk.stem(images)
        maps = []
        for i, stage in enumerate(trunk.stages):
            x = stage.downsample(x)
            for block in stage.blocks:
                x = run_block(block, x, with_cp=self.with_cp and self.training)
            if i in self.out_indices:
                maps.append(x)
        x = trunk.norm_pre(x)
        cls = self.visual.head(trunk.forward_head(x))
        patch = trunk.head.norm(x).flatten(2).transpose(1, 2)
        grid = spatial_size(x)
        return CLIPFeatures(
            cls=cls, patch=self.visual.head(patch), grid=grid,
            shallow=tuple(F.adaptive_avg_pool2d(m, grid) for m in maps))
