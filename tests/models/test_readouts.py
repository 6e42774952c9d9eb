"""Read-outs in the backbone: what they share, how they train, what they refuse.

Their formulas are in test_readout_formulas.py.
"""

import math

import pytest
import torch
from toys import assert_all_gradients, toy_model, toy_samples

from mmseg_dcpclip.evaluation.efficiency import multiply_adds
from mmseg_dcpclip.models import CLIPVisionBackbone
from mmseg_dcpclip.models.clip.affinity import cosines, sharpen
from mmseg_dcpclip.models.clip.outliers import fill_from_neighbours, find_outliers
from mmseg_dcpclip.models.clip.polar import polar_factor
from mmseg_dcpclip.models.clip.readouts import READ_OUTS, ReadOut

NAMES = list(READ_OUTS.module_dict)


def backbone_of(read_out='plain', **options):
    """A random mini CLIP, the same for every read-out; patches of 8 pixels."""
    torch.manual_seed(0)
    options = dict(out_indices=(1, 3), read_out=read_out) | options
    return CLIPVisionBackbone('mini-ViT-8', **options).eval()


@torch.no_grad()
@pytest.mark.parametrize('name', NAMES)
def test_a_batch_is_as_its_pictures_one_by_one(name):
    backbone = backbone_of(name)
    for size in [(48, 64), (24, 24), (8, 72), (16, 8), (8, 8)]:
        images = torch.randn(3, 3, *size)
        together = backbone(images).patch
        assert torch.isfinite(together).all()
        single = torch.cat([backbone(images[i:i + 1]).patch for i in range(3)])
        torch.testing.assert_close(together, single, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('name', NAMES)
def test_all_but_patches_is_plain(name):
    """Class feature, A_CLIP and shallow maps, also that of the last block itself."""
    images = torch.randn(2, 3, 40, 56)
    plain = backbone_of(out_indices=(1, 4))(images, with_attention=True)
    for out_indices in [(1, ), (1, 4)]:
        backbone = backbone_of(name, out_indices=out_indices)
        for with_attention in (False, True):
            features = backbone(images, with_attention=with_attention)
            torch.testing.assert_close(features.cls, plain.cls, atol=1e-5, rtol=1e-4)
            for ours, wanted in zip(features.shallow, plain.shallow):
                torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-4)
            if with_attention:
                torch.testing.assert_close(features.attention, plain.attention)
            assert name == 'plain' or not torch.allclose(
                features.patch, plain.patch, atol=1e-3)


@pytest.mark.parametrize('name', NAMES)
def test_q_and_v_are_trained_through_it(name):
    backbone = backbone_of(name, trainable='qv').train()
    features = backbone(torch.randn(2, 3, 40, 40))
    (features.patch.square().mean() + features.cls.square().mean()).backward()
    assert_all_gradients(backbone)
    last = backbone.blocks[-1].attn
    backbone.zero_grad()
    backbone(torch.randn(2, 3, 40, 40)).patch.square().mean().backward()
    # patches alone reach v, and q where the read-out asks for it
    assert last.v_proj.weight.grad.abs().sum() > 0
    uses_q = name in ('plain', 'qq', 'csa', 'procrustes')
    assert (last.q_proj.weight.grad is not None) == uses_q


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mixed_precision(name, dtype):
    """Tokens of pictures, in half precision, are what they are in full."""
    backbone = backbone_of(name).train()
    images = torch.randn(2, 3, 48, 48)
    exact = backbone(images).patch
    try:
        with torch.autocast('cpu', dtype):
            features = backbone(images, with_attention=True)
    except RuntimeError as error:
        pytest.skip(f'this torch: {error}')
    error = (features.patch.float() - exact).norm() / exact.norm()
    assert error < 0.05
    features.patch.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in backbone.parameters()
               if p.grad is not None)


def test_multiply_adds_of_the_read_outs():
    """Only [CLS]'s row of the last block's own attention is computed."""
    with torch.device('meta'):
        backbone = CLIPVisionBackbone('ViT-B-16')
        images = torch.empty(1, 3, 336, 336)
    counts = {}
    for name in NAMES:
        backbone.read_out = ReadOut(name, 12)
        with torch.no_grad():
            counts[name] = multiply_adds(lambda: backbone(images))
    n, width = 21 * 21, 768
    # for each patch q, the attention of two products, and the MLP
    attention, mlp = n * width**2 + 2 * n * (n + 1) * width, 8 * n * width**2
    assert counts['value'] == counts['plain'] - attention - mlp
    assert counts['catseg'] == counts['value'] + mlp
    assert counts['kk_gauss'] == counts['value'] + 2 * n * (n + 1) * width
    assert counts['qq'] == counts['kk_gauss'] + (n + 1) * width**2
    assert counts['self_calibrated'] < 1.1 * counts['plain']
    assert counts['procrustes'] < counts['plain']


def test_block_numbers_follow_the_depth():
    base, large = ({name: ReadOut(name, depth).reads for name in NAMES}
                   for depth in (12, 24))
    assert base['self_calibrated'] == {4, 5, 6, 7, 8, 9, 10}
    assert large['self_calibrated'] == {7, 17, *range(9, 20)}
    assert base['rcs'] == {5, 6, 7, 8} and large['rcs'] == set(range(11, 18))
    for depth in (2, 5, 32, 48):
        for name in NAMES:
            assert all(0 <= number < depth for number in ReadOut(name, depth).reads)
    own = ReadOut(dict(type='self_calibrated', similarity_block=3, smoothing_block=2,
                       fused_blocks=(1, 2)), 5)
    assert own.reads == {1, 2, 3}
    with pytest.raises(ValueError, match='before the last'):
        ReadOut('rcs', 1)


@torch.no_grad()
def test_a_read_out_of_a_user():
    @READ_OUTS.register_module()
    def kk_scaled(last, scale=1.0):
        return last.out(last.attend(scale * last.k[:, :, 1:], last.k, last.v))

    try:
        images = torch.randn(1, 3, 32, 32)
        own = backbone_of(dict(type='kk_scaled', scale=1.0))(images).patch
        expected = backbone_of(dict(type='kk_gauss', sigma=None))(images).patch
        torch.testing.assert_close(own, expected)
        torch.testing.assert_close(backbone_of(dict(type=kk_scaled))(images).patch, own)
    finally:
        del READ_OUTS.module_dict['kk_scaled']


@pytest.mark.parametrize('read_out, message', [
    ('kk', "no read_out 'kk'; there are: plain, value"),
    (dict(sigma=3), 'no read_out None'),
    (dict(type='kk_gauss', sgima=3), "'kk_gauss'.*sgima.*its arguments: sigma"),
    (dict(type='value', sigma=3), "'value'.*its arguments: none"),
    (dict(type='kk_gauss', sigma=0), 'sigma must be above 0, got 0'),
    (dict(type='rcs', share=2), 'share must be in'),
    (dict(type='rcs', blocks=(3, 5)), r'blocks.*before the last, 1 to 4, got 5'),
    (dict(type='rcs', blocks=(3, 2)), 'blocks must be a first and a last block'),
    (dict(type='procrustes', smoothing=-1), 'smoothing must be at least 0'),
    (dict(type='self_calibrated', neighbours=0), 'neighbours must be at least 1'),
    (dict(type='self_calibrated', floor=1.5), 'floor must be in'),
    (dict(type='self_calibrated', similarity_block=9), 'similarity_block.*got 9'),
])
def test_bad_read_outs(read_out, message):
    with pytest.raises(ValueError, match=message):
        backbone_of(read_out)


def test_stock_heads_take_no_read_out():
    with pytest.raises(ValueError, match='leave read_out'):
        backbone_of('value', plain=True)


# -------------------------------------------------------------------- formulas

def test_outliers_of_few_and_of_equal_patches():
    for number in (1, 2, 3, 9):
        x = torch.randn(2, number, 4)
        assert not find_outliers(x, 30, 0).any()
        assert not find_outliers(torch.ones(2, number, 4), 30, 0.05).any()
    x = torch.randn(3, 100, 16)
    x[1, 7] *= 20
    found = find_outliers(x, 30, 0.05)
    assert found.sum(1).tolist() == [5, 5, 5] and found[1, 7]
    assert torch.equal(found[1:2], find_outliers(x[1:2], 30, 0.05))
    assert torch.equal(found, find_outliers(x + 100, 30, 0.05))


def test_a_patch_among_outliers_stays():
    x, missing = torch.randn(1, 9, 4), torch.ones(1, 9, dtype=torch.bool)
    assert torch.equal(fill_from_neighbours(x, missing, (3, 3)), x)
    missing[0, 8] = False  # only its neighbours 4, 5 and 7 have something to take
    filled = fill_from_neighbours(x, missing, (3, 3))
    for place in range(9):
        expected = x[0, 8] if place in (4, 5, 7) else x[0, place]
        torch.testing.assert_close(filled[0, place], expected)


def test_a_patch_that_is_like_no_other_sees_itself():
    weights = sharpen(torch.tensor([[[0.1, 0.9, 0.9], [0.9, 1, 0.9], [0.9, 0.9, 1]]]),
                      3.0, 1.2)
    assert torch.isfinite(weights).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 3))
    alone = sharpen(cosines(torch.ones(1, 4, 3)), 3.0, 1.2)
    torch.testing.assert_close(alone, torch.eye(4)[None])


@pytest.mark.parametrize('size, least', [(6, 0.1), (32, 1e-3), (64, 1e-5)])
def test_polar_factor(size, least):
    """Against the singular value decomposition, in float64."""
    u, _, vh = torch.linalg.svd(torch.randn(2, size, size, dtype=torch.float64))
    sizes = 50 * torch.logspace(0, math.log10(least), size, dtype=torch.float64)
    torch.testing.assert_close(polar_factor((u * sizes) @ vh), u @ vh, atol=1e-8,
                               rtol=0)
    # a direction without extent stays without
    sizes[-1] = 0
    flat = polar_factor((u * sizes) @ vh)
    torch.testing.assert_close(flat, u[..., :-1] @ vh[:, :-1], atol=1e-6, rtol=0)
    single = polar_factor(((u * sizes) @ vh).float())
    assert single.dtype == torch.float32
    assert torch.linalg.matrix_norm(single, 2).amax() < 1 + 1e-5
    assert not polar_factor(torch.zeros(1, size, size)).any()


# ------------------------------------------------------------------ whole models

@pytest.mark.parametrize('name', ['catseg', 'kk_gauss', 'self_calibrated'])
def test_a_whole_model_trains_and_tests(name):
    backbone = dict(type='CLIPVisionBackbone', model_name='mini-ViT-8',
                    out_indices=(1, 3), read_out=name)
    model = toy_model(backbone=backbone)
    data = toy_samples([(32, 32), (32, 32)])
    losses = model.train()(**model.data_preprocessor(data, True), mode='loss')
    model.parse_losses(losses)[0].backward()
    assert_all_gradients(model.backbone)
    sample = model.eval().test_step(data)[0]
    assert sample.pred_sem_seg.data.shape == (1, 32, 32)
