"""The image towers under tracers, FLOP counters, exporters and torch.compile."""

import copy
import io
import warnings

import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from mmseg.registry import MODELS
from torch import nn
from toys import TORCH, can_compile, toy_model, toy_samples

from mmseg_dcpclip.evaluation.efficiency import multiply_adds
from mmseg_dcpclip.models import CLIPVisionBackbone
from mmseg_dcpclip.models.clip.readouts import READ_OUTS

WIDTH, BLOCKS = 128, (0, 1, 2, 3)
HEADS = dict(
    FCNHead=dict(in_channels=WIDTH, in_index=3),
    UPerHead=dict(in_channels=[WIDTH] * 4, in_index=[0, 1, 2, 3],
                  pool_scales=(1, 2)))
# the table's own grid, another one, and one that images are resized to
SIZES = [(64, 64), (40, 56), (45, 50)]


class Features(nn.Module):
    """CLIPFeatures as the tuple that a tracer can return."""

    def __init__(self, read_out: str = 'plain') -> None:
        super().__init__()
        self.backbone = CLIPVisionBackbone('mini-ViT-8', out_indices=(1, 3),
                                           read_out=read_out)

    def forward(self, images):
        features = self.backbone(images, with_attention=True)
        return features.cls, features.patch, features.attention, *features.shallow


def toy(name: str) -> nn.Module:
    """A plain backbone, also under a stock head, one of DCP-CLIP, or all of it."""
    torch.manual_seed(0)
    if name in WHOLE:  # all words: of each picture as many
        frozen = dict(neck=None, decode_head=dict(type='CosineHead'))
        return toy_model(selection=dict(theta=0),
                         **(frozen if name == 'frozen' else {})).eval()
    if name == 'features':
        return Features().eval()
    if name in READ_OUTS.module_dict:
        return Features(name).eval()
    backbone = dict(type='CLIPVisionBackbone', model_name='mini-ViT-8', plain=True,
                    out_indices=BLOCKS)
    if name == 'plain':
        return MODELS.build(backbone).eval()
    return MODELS.build(dict(
        type='EncoderDecoder', backbone=backbone,
        data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32)),
        decode_head=dict(type=name, **HEADS[name], channels=8, num_classes=5,
                         norm_cfg=dict(type='BN'),
                         loss_decode=dict(type='CrossEntropyLoss',
                                          avg_non_ignore=True)),
        test_cfg=dict(mode='whole'))).eval()


MODEL_NAMES = ['plain', 'features', *HEADS]
WHOLE = ['whole', 'frozen']
READ_OUT_NAMES = [name for name in READ_OUTS.module_dict if name != 'plain']


@torch.no_grad()
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('name', [*MODEL_NAMES, *READ_OUT_NAMES])
def test_traced_equals_eager(name, size):
    """On what was traced, on other images of that size, and on more of them."""
    model, images = toy(name), torch.randn(1, 3, *size)
    with warnings.catch_warnings():  # that it holds for one size
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        traced = torch.jit.trace(model, images, check_trace=False)
    for inputs in (images, torch.randn(1, 3, *size), torch.randn(3, 3, *size)):
        torch.testing.assert_close(traced(inputs), model(inputs), atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('name', WHOLE)
def test_the_whole_model_is_traced(name):
    """Twice: what it keeps belongs to no trace."""
    model, images = toy(name), torch.randn(2, 3, 40, 56)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        for _ in range(2):
            traced = torch.jit.trace(model, images, check_trace=False)
    for inputs in (images, torch.randn_like(images)):
        torch.testing.assert_close(traced(inputs), model(inputs), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('name', [*MODEL_NAMES, *WHOLE])
def test_flops_are_ours(name, size):
    """mmengine adds norms and resizing, which are small, to products and convs."""
    model, images = toy(name), torch.randn(1, 3, *size)
    counted = get_model_complexity_info(model, inputs=images, show_table=False,
                                        show_arch=False)
    with torch.no_grad():
        own = multiply_adds(lambda: model(images))
    # of a toy's small decoder norms and resizing are a larger share
    assert own <= counted['flops'] <= (1.1 if name in WHOLE else 1.02) * own
    assert counted['params'] == sum(p.numel() for p in model.parameters())


def test_attention_is_counted():
    """Four projections, and two products of all tokens with all tokens."""
    backbone = CLIPVisionBackbone('mini-ViT-8', plain=True, out_indices=BLOCKS).eval()
    attn, tokens = backbone.blocks[0].attn, torch.randn(1, 50, WIDTH)
    counted = get_model_complexity_info(attn, inputs=(tokens, ) * 3, show_table=False,
                                        show_arch=False)
    assert counted['flops'] == 4 * 50 * WIDTH**2 + 2 * 50**2 * WIDTH


@pytest.mark.parametrize('name, size', [*[('FCNHead', size) for size in SIZES],
                                        ('whole', SIZES[1])])
def test_fvcore_counts_the_same(name, size):
    fvcore = pytest.importorskip('fvcore.nn')
    model, images = toy(name), torch.randn(1, 3, *size)
    expected = get_model_complexity_info(model, inputs=images, show_table=False,
                                         show_arch=False)['flops']
    assert fvcore.FlopCountAnalysis(model, images).total() == expected


@torch.no_grad()
@pytest.mark.parametrize('name, dynamo', [
    ('plain', False), ('FCNHead', False), ('kk_gauss', False), ('FCNHead', True)])
def test_onnx_equals_eager(name, dynamo):
    pytest.importorskip('onnx')
    runtime = pytest.importorskip('onnxruntime')
    if dynamo:
        pytest.importorskip('onnxscript')
        if TORCH < (2, 6):
            pytest.skip(f'torch {torch.__version__} exports by traces only')
    model, file = toy(name), io.BytesIO()
    axes = None if dynamo else dict(images={0: 'batch'})
    exporter = dict(dynamo=dynamo) if TORCH >= (2, 5) else {}  # there is one only
    images = torch.randn(2, 3, 45, 50)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        exported = torch.onnx.export(
            model, (images, ), None if dynamo else file,
            input_names=['images'], dynamic_axes=axes, **exporter)
        if exported is not None:
            exported.save(file)
    session = runtime.InferenceSession(file.getvalue())
    for batch in (2, ) if dynamo else (2, 1):
        images = torch.randn(batch, 3, 45, 50)
        expected = model(images)
        expected = [expected] if isinstance(expected, torch.Tensor) else expected
        results = session.run(None, {'images': images.numpy()})
        for result, wanted in zip(results, expected):
            torch.testing.assert_close(torch.from_numpy(result), wanted, atol=1e-3,
                                       rtol=1e-3)


@pytest.fixture
def fresh_dynamo():
    """No graph of another test."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@can_compile
@torch.no_grad()
@pytest.mark.parametrize('name', [*MODEL_NAMES, 'kk_gauss', 'self_calibrated'])
def test_compiled_equals_eager(name, fresh_dynamo):
    """In one graph, for sizes that come one after the other."""
    model = toy(name)
    compiled = torch.compile(model, backend='eager', fullgraph=True)
    for size in SIZES:
        images = torch.randn(2, 3, *size)
        torch.testing.assert_close(compiled(images), model(images))


@can_compile
def test_compiled_trains_alike(fresh_dynamo):
    """Gradients of a compiled loss, with and without checkpoints of the blocks."""
    plain = toy('FCNHead').train()
    plain.decode_head.dropout = None  # nothing drawn
    data = plain.data_preprocessor(toy_samples([(32, 32)] * 2), True)
    for with_cp in (False, True):
        other = copy.deepcopy(plain)
        other.backbone.with_cp = with_cp
        losses = torch.compile(other, backend='eager')(**data, mode='loss')
        other.parse_losses(losses)[0].backward()
        plain.zero_grad()
        plain.parse_losses(plain(**data, mode='loss'))[0].backward()
        for one, two in zip(plain.parameters(), other.parameters()):
            assert (one.grad is None) == (two.grad is None)
            if one.grad is not None:
                torch.testing.assert_close(one.grad, two.grad)
