"""Blocks of the image tower that are computed again in the backward pass."""

import pytest
import torch
from toys import assert_all_gradients, toy_model, toy_samples

from mmseg_dcpclip.evaluation.efficiency import peak_memory
from mmseg_dcpclip.models import CLIPVisionBackbone
from mmseg_dcpclip.models.clip.readouts import READ_OUTS
from mmseg_dcpclip.models.segmentors.settings import TrainSettings


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


def training(model, places):
    """Loss of a training step, and the bytes that its graph holds."""
    model.train_settings = TrainSettings(places)
    data = model.data_preprocessor(toy_samples([(40, 48)] * 2), True)
    held = {p.untyped_storage().data_ptr(): 0 for p in model.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = held.get(storage.data_ptr(), storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        losses = model.loss(**data)
    return losses['decode.loss_bce'], sum(held.values())


@pytest.mark.parametrize('autocast', [False, True])
def test_parts_of_pairs_change_nothing(autocast):
    """Losses and gradients of some pairs at a time are those of all at once."""
    results = []
    for places in (2**20, 60, 1):  # 30 patches: all, two pairs, one
        model = toy_model(selection=dict(theta=0)).train()
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            loss, _ = training(model, places)
        loss.backward()
        assert_all_gradients(model.decode_head)
        results.append([loss, *(p.grad for p in model.parameters()
                                if p.grad is not None)])
    limits = (dict(atol=2e-2, rtol=5e-2) if autocast else dict(atol=1e-6, rtol=1e-4))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, **limits)


def test_memory_of_more_pairs_is_bounded():
    """What a pair adds are its words and its logits, no activations."""
    held = {}
    for places in (2**20, 30):
        for number in (10, 20):
            model = toy_model(vocabulary=[f'thing {i}' for i in range(number)],
                              selection=dict(theta=0)).train()
            held[places, number] = training(model, places)[1]
    whole, parts = (held[n, 20] - held[n, 10] for n in (2**20, 30))
    assert parts < whole / 10
