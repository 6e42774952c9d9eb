"""The bare image encoder: the unit, and open_clip's own tower beside it."""

from collections.abc import Sequence

import open_clip
import torch.nn.functional as F
from torch import Tensor, nn

from ...models import DCPCLIP
from ...models.clip.loading import clip_config
from ..efficiency import TimedCall
from .bench import Bench, Case, make_row


def clip_cases(bench: Bench, phases: Sequence[str]) -> list[Case]:
    """The bare encoder, and with its backward pass.

    Args:
        bench: The model.
        phases: With ``'train'`` the backward pass is a case, too.
    """
    backbone = bench.model.backbone

    def step() -> None:
        with bench.precision():
            loss = backbone(bench.crop).patch.float().mean()
        loss.backward()

    cases = [Case(make_row('clip', 'forward'), TimedCall(
        bench.inference(lambda: backbone(bench.crop)), bench.model.eval))]
    if 'train' in phases:
        cases.append(Case(make_row('clip', 'train'), TimedCall(step, bench.train_mode)))
    return cases


def open_clip_tower(model: DCPCLIP, crop: Tensor) -> tuple[nn.Module, Tensor]:
    """open_clip's own image tower for a crop, and the crop at the size it takes.

    Args:
        model: Its backbone says which tower.
        crop: [1, 3, H, W].
    """
    backbone = model.backbone
    size = tuple(backbone.input_size or (
        max(1, round(n / p)) * p for n, p in zip(crop.shape[-2:], backbone.patch_size)))
    config = clip_config(backbone.model_name)
    tower = open_clip.CustomTextCLIP(
        embed_dim=config['embed_dim'],
        vision_cfg=dict(config['vision_cfg'], image_size=size),
        text_cfg=dict(context_length=1, vocab_size=1, width=8, heads=1, layers=1),
        quick_gelu=bool(backbone.quick_gelu)).visual
    return tower.to(crop.device).eval(), F.interpolate(crop, size, mode='bilinear')
