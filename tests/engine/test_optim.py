"""Gradient clipping, accumulation and AMP through mmengine's optim wrappers."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmseg.registry import OPTIM_WRAPPERS
from test_ablations import FOLDER
from toys import toy_model, toy_samples

from mmseg_dcpclip.engine import CPUAmpOptimWrapper


def config(**changes):
    """The schedule of the real configs with another optimiser."""
    optim = Config.fromfile(FOLDER / 'dcpclip_vitb16_coco.py').optim_wrapper
    optim.update(changes)
    return optim


def batches(*groups):
    """Two pictures, in one batch or in two."""
    data = toy_samples([(32, 32), (32, 32)])
    return [{key: [value[i] for i in group] for key, value in data.items()}
            for group in groups]


def train(groups, **changes):
    model = toy_model().train()
    wrapper = build_optim_wrapper(model, config(**changes))
    wrapper.initialize_count_status(model, 0, len(groups))
    for data in batches(*groups):
        model.train_step(data, wrapper)
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


SGD = dict(type='SGD', lr=0.1)


def test_two_accumulated_images_equal_a_batch_of_two():
    start = {n: p for n, p in toy_model().named_parameters() if p.requires_grad}
    one = train([(0, 1)], optimizer=SGD)
    two = train([(0, ), (1, )], optimizer=SGD, accumulative_counts=2)
    single = train([(0, )], optimizer=SGD)
    moved = 0.0
    for name, p in start.items():
        step = (one[name] - p).abs().max()
        assert (one[name] - two[name]).abs().max() <= 1e-7 + 1e-3 * step, name
        moved = max(moved, float((one[name] - single[name]).abs().max() / step))
    assert moved > 0.01  # the second picture did matter


def test_no_step_before_all_are_there():
    start = {n: p for n, p in toy_model().named_parameters() if p.requires_grad}
    model = toy_model().train()
    wrapper = build_optim_wrapper(model, config(accumulative_counts=2))
    wrapper.initialize_count_status(model, 0, 4)
    model.train_step(batches((0, ))[0], wrapper)
    assert all(torch.equal(p, start[n]) for n, p in model.named_parameters()
               if n in start)


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.01)])
def test_gradients_are_clipped(clip_grad):
    model, norms = toy_model().train(), []
    wrapper = build_optim_wrapper(model, config(optimizer=SGD, clip_grad=clip_grad))

    step = wrapper.optimizer.step

    def record():  # torch 2.1 calls no hooks of steps once dynamo is imported
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        norms.append(float(torch.cat(gradients).norm()))
        step()

    wrapper.optimizer.step = record
    model.train_step(batches((0, 1))[0], wrapper)
    if clip_grad is None:
        assert norms[0] > 0.02
    else:
        assert norms == [pytest.approx(0.01, rel=1e-3)]


@pytest.mark.parametrize('options', [
    dict(), dict(accumulative_counts=2), dict(clip_grad=dict(max_norm=0.1))])
def test_amp(options):
    assert OPTIM_WRAPPERS.get('CPUAmpOptimWrapper') is CPUAmpOptimWrapper
    full = train([(0, ), (1, )], **options)
    half = train([(0, ), (1, )], type='CPUAmpOptimWrapper', **options)
    for name, p in full.items():
        assert half[name].dtype == torch.float32
        assert torch.isfinite(half[name]).all()
        # AdamW steps by the learning rate, whatever the size of a gradient
        assert (half[name] - p).abs().max() <= 4 * 2e-4 + 1e-6, name
