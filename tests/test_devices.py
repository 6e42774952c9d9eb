"""The same answers on a GPU: on a simulated one everywhere, on a real one with -m cuda.

The simulated device computes on the CPU and refuses to mix devices, so its results are
those of the CPU to the bit. A real one rounds otherwise.
"""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from mmengine.config import Config
from toys import WORDS, toy_forms, toy_model, toy_model_config, toy_samples

from mmseg_dcpclip import Predictor
from mmseg_dcpclip.evaluation import OVIoUMetric
from mmseg_dcpclip.evaluation.cost.simulated_device import (
    DeviceError,
    SimulatedDevice,
    SimulatedTensor,
    held,
)
from mmseg_dcpclip.models import CLIPVisionBackbone, OVSegTTAModel
from mmseg_dcpclip.models.clip.readouts import READ_OUTS, ReadOut
from mmseg_dcpclip.models.structures import first_equal

VALIDATION = dict(seen=WORDS[:1], top_k=1)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(),
                                reason='torch finds no CUDA device')


class Simulated:
    """The device that is always there."""
    exact = True

    @staticmethod
    def context():
        return SimulatedDevice()


class CUDA:
    """The first GPU."""
    exact = False

    @staticmethod
    @contextmanager
    def context():
        allowed = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        try:
            yield
        finally:
            (torch.backends.cuda.matmul.allow_tf32,
             torch.backends.cudnn.allow_tf32) = allowed


@pytest.fixture(params=[
    Simulated, pytest.param(CUDA, marks=[pytest.mark.cuda, needs_cuda])])
def device(request):
    """Inside it, ``cuda:0`` is there."""
    with request.param.context():
        yield request.param


def cpu(x):
    return held(x).detach().cpu() if isinstance(x, torch.Tensor) else x


def assert_same_map(device, got, want):
    got, want = cpu(got), cpu(want)
    assert got.shape == want.shape
    # equal logits are no case here, but a kernel's rounding may turn a few pixels
    limit = 0 if device.exact else 0.01
    assert (got != want).float().mean() <= limit


@pytest.mark.parametrize('changes', [
    {},
    dict(tag_validation=VALIDATION),
    dict(neck=None, decode_head=dict(type='CosineHead')),
    dict(selection=dict(theta=0.3, form='union', max_categories=3)),
    dict(selection=dict(theta=0.)),
    dict(test_cfg=dict(mode='slide', crop_size=(24, 24), stride=(16, 16),
                       global_view=True), tag_validation=VALIDATION),
    dict(test_cfg=dict(mode='whole', return_logits=True, return_features=True)),
], ids=str)
def test_predictions_are_those_of_the_cpu(device, changes):
    model = toy_model(text_bank=dict(root=None), **changes).eval()
    data = toy_samples([(32, 40), (48, 32), (32, 40)])
    with torch.no_grad():
        want = copy.deepcopy(model).test_step(copy.deepcopy(data))
        got = model.to('cuda:0').test_step(data)
    for a, b in zip(got, want, strict=True):
        assert a.pred_sem_seg.data.device.type == 'cuda'
        assert_same_map(device, a.pred_sem_seg.data, b.pred_sem_seg.data)
        assert cpu(a.selected_categories) == cpu(b.selected_categories)
        if 'seg_logits' in b:
            torch.testing.assert_close(cpu(a.seg_logits.data), cpu(b.seg_logits.data),
                                       rtol=1e-3, atol=1e-3)


def test_augmented_predictions_are_those_of_the_cpu(device):
    config = toy_model_config(text_bank=dict(root=None), tag_validation=VALIDATION)
    torch.manual_seed(0)
    model = OVSegTTAModel(config)
    data = toy_forms()
    with torch.no_grad():
        want = copy.deepcopy(model).test_step(copy.deepcopy(data))
        got = model.to('cuda:0').test_step(data)
    assert_same_map(device, got[0].pred_sem_seg.data, want[0].pred_sem_seg.data)


@pytest.mark.parametrize('proxy', [False, True])
@pytest.mark.parametrize('read_out', READ_OUTS.module_dict)
def test_read_outs_are_those_of_the_cpu(device, read_out, proxy):
    if proxy and not ReadOut(read_out, 12).attends:
        return
    encoder = dict(type='VisionTransformer', patch_size=8, img_size=32, arch=dict(
        embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=32))
    torch.manual_seed(0)
    backbone = CLIPVisionBackbone(
        'mini-ViT-8', out_indices=(1, ), read_out=read_out,
        proxy=dict(encoder=encoder) if proxy else None).eval()
    images = torch.randn(2, 3, 40, 48)
    with torch.no_grad():
        want = backbone(images, with_mean_attention=True)
        got = copy.deepcopy(backbone).to('cuda:0')(
            images.to('cuda:0'), with_mean_attention=True)
    for name in ('cls', 'patch', 'mean_attention'):
        assert getattr(got, name).device.type == 'cuda'
        torch.testing.assert_close(cpu(getattr(got, name)), getattr(want, name),
                                   rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('trainable', ['none', 'qv'])
def test_losses_and_gradients_are_those_of_the_cpu(device, trainable):
    model = toy_model(text_bank=dict(root=None)).train()
    model.text_encoder.trainable = trainable
    for parameter in model.text_encoder.parameters():
        parameter.requires_grad_(trainable == 'qv')
    data = toy_samples([(32, 40), (48, 32), (32, 40)])
    own = copy.deepcopy(model)
    results = []
    for kind, place in ((own, 'cpu'), (model, 'cuda:0')):
        kind = kind.to(place)
        torch.manual_seed(0)
        packed = kind.data_preprocessor(copy.deepcopy(data), True)
        losses = kind.loss(**packed)
        kind.parse_losses(losses)[0].backward()
        results.append((
            {k: cpu(v) for k, v in losses.items()},
            {k: cpu(p.grad) for k, p in kind.named_parameters() if p.requires_grad}))
    for a, b in zip(*results):
        torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-4)


def test_the_metric_counts_what_comes_from_a_gpu(device):
    model = toy_model(text_bank=dict(root=None)).eval()
    data = toy_samples([(32, 40), (48, 32)])
    scores = []
    for place in ('cpu', 'cuda:0'):
        kind = copy.deepcopy(model).to(place)
        metric = OVIoUMetric(seen=WORDS[:2])
        metric.dataset_meta = dict(classes=WORDS)
        with torch.no_grad():
            samples = kind.test_step(copy.deepcopy(data))
        metric.process({}, [s.to_dict() for s in samples])
        scores.append(metric.evaluate(2))
    assert scores[0].keys() == scores[1].keys()
    for name, value in scores[0].items():
        assert scores[1][name] == pytest.approx(
            value, abs=0 if device.exact else 2, nan_ok=True)


def test_predictor_on_a_gpu(device):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    config = Config(dict(test_pipeline=pipeline, model=toy_model_config(
        text_bank=dict(root=None), tag_validation=VALIDATION)))
    picture = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    maps = []
    for name in ('cpu', 'cuda:0'):
        torch.manual_seed(0)
        predictor = Predictor(config, device=name)
        sample = predictor.predict(picture, ['red dots', 'grey sky', 'a dog'])
        maps.append(sample.pred_sem_seg.data)
        predictor.draw(picture, sample, ['red dots', 'grey sky', 'a dog'])
    assert maps[1].device.type == 'cuda'
    assert_same_map(device, maps[1], maps[0])


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mixed_precision_on_a_gpu(dtype):
    model = toy_model(text_bank=dict(root=None)).cuda()
    data = toy_samples([(32, 40), (48, 32)])
    with torch.autocast('cuda', dtype):
        losses = model.loss(**model.data_preprocessor(copy.deepcopy(data), True))
        model.parse_losses(losses)[0].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters()
               if p.requires_grad and p.grad is not None)
    with torch.no_grad(), torch.autocast('cuda', dtype):
        sample = model.eval().test_step(data)[0]
    assert sample.pred_sem_seg.data.shape == (1, 32, 40)


@pytest.mark.cuda
@needs_cuda
def test_equal_words_go_to_the_lowest_id_on_a_gpu():
    rows = torch.randn(5000, 512, device='cuda')
    rows[4000:] = rows[:1000]
    want = torch.arange(5000)
    want[4000:] = want[:1000]
    assert torch.equal(first_equal(rows).cpu(), want)


# ------------------------------------------------------- the simulated device itself

def test_a_mixture_of_devices_is_refused():
    with SimulatedDevice():
        x = torch.ones(3).to('cuda')
        assert x.device == torch.device('cuda:0') and x.is_cuda
        with pytest.raises(DeviceError, match=r'add: a tensor \(3,\) of the CPU'):
            x + torch.ones(3)
        with pytest.raises(DeviceError, match='index'):
            torch.ones(3)[x.long()]
        with pytest.raises(DeviceError, match='move it to the CPU'):
            x.numpy()


def test_what_a_gpu_takes_from_the_cpu_is_taken():
    with SimulatedDevice():
        x = torch.arange(3., device='cuda')
        assert cpu(x + torch.tensor(1.)).tolist() == [1, 2, 3]
        assert cpu(x[torch.tensor([2, 0])]).tolist() == [2, 0]
        assert cpu(torch.zeros(3).copy_(x)).tolist() == [0, 1, 2]


def test_kernels_and_synchronisations_are_counted():
    with SimulatedDevice() as device:
        x = torch.rand(4, 5).to('cuda')
        device.kernels.clear()
        y = (x @ x.T).view(16)[:4] + 1
        assert device.kernels == dict(mm=1, add=1)
        assert not device.synchronisations
        y.sum().item(), y[y > 2], y.tolist(), y.cpu()
        assert device.synchronisations == dict(
            _local_scalar_dense=1, index=1, tolist=1, cpu=1)


def test_gradients_cross_between_devices():
    x, w = torch.rand(3, requires_grad=True), torch.rand(3, requires_grad=True)
    (x * w).sum().backward()
    want = x.grad.clone()
    x.grad = None
    with SimulatedDevice():
        (x.to('cuda') * w.to('cuda')).sum().cpu().backward()
        assert not isinstance(x.grad, SimulatedTensor)
    torch.testing.assert_close(x.grad, want)
