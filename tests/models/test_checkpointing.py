"""Blocks of the image tower that are computed again in the backward pass."""

import pytest
import torch

from mmseg_dcpclip.evaluation.efficiency import peak_memory
from mmseg_dcpclip.models import CLIPVisionBackbone
from mmseg_dcpclip.models.clip.readouts import READ_OUTS


def loss_of(backbone, images, with_attention=True):
    """A number that hangs on all that a backbone returns."""
    features = backbone(images, with_attention)
    maps = features if backbone.plain else (features.cls, features.patch,
                                            *features.shallow)
    if not backbone.plain and with_attention:
        maps = (*maps, features.attention)
    return sum(m.square().mean() for m in maps)


@pytest.mark.parametrize('with_attention', [False, True])
@pytest.mark.parametrize('plain', [False, True])
@pytest.mark.parametrize('options', [dict(trainable='qv'), dict(trainable='all'),
                                     dict(trainable='none')])
def test_checkpointed_blocks_change_nothing(options, plain, with_attention):
    assert_checkpoints_change_nothing(options, plain, with_attention)


@pytest.mark.parametrize('read_out', READ_OUTS.module_dict)
def test_checkpointed_read_outs_change_nothing(read_out):
    assert_checkpoints_change_nothing(dict(read_out=read_out), False, True)


def assert_checkpoints_change_nothing(options, plain, with_attention):
    images = torch.randn(2, 3, 40, 48)
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = CLIPVisionBackbone('mini-ViT-8', out_indices=(1, 4), plain=plain,
                                      with_cp=with_cp, **options).train()
        loss = loss_of(backbone, images, with_attention)
        trained = [p for p in backbone.parameters() if p.requires_grad]
        results.append((loss, *torch.autograd.grad(loss, trained)) if trained
                       else (loss, ))
    for one, two in zip(*results):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-6)


def test_checkpointed_blocks_save_memory(monkeypatch):
    images = torch.randn(2, 3, 64, 64)
    backbone = CLIPVisionBackbone('mini-ViT-8', out_indices=(1, 3)).train()
    peaks = []
    for with_cp in (False, True):
        backbone.with_cp = with_cp
        peaks.append(peak_memory(lambda: loss_of(backbone, images).backward()))
    assert peaks[1] < 0.7 * peaks[0]

    def refuse(*args, **kwargs):
        raise AssertionError('checkpointed')

    monkeypatch.setattr('mmseg_dcpclip.models.clip.checkpointing.checkpoint', refuse)
    with pytest.raises(AssertionError, match='checkpointed'):
        backbone(images)
    with torch.no_grad():
        backbone(images)
    backbone.eval()(images)
