"""Weights between patches from another encoder, on random weights."""

import builtins

import pytest
import torch
import torch.nn.functional as F
from toys import toy_model, toy_model_config, toy_samples

from mmseg_dcpclip.models import CLIPVisionBackbone
from mmseg_dcpclip.models.clip.proxy import CLIP_MEAN, CLIP_STD, ProxyAffinity

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
ENCODERS = {
    'DINOv2': dict(type='VisionTransformer', arch=ARCH, img_size=56, patch_size=14,
                   layer_scale_init_value=1e-5),
    'DINO': dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32,
                 patch_size=8),
    'timm': dict(type='TIMMBackbone', model_name='vit_tiny_patch16_224', depth=2,
                 out_indices=(-1, ), dynamic_img_size=True)}
KNOWN = dict(timm=16)
ATTENDING = ['qq', 'csa', 'kk_gauss', 'rcs', 'procrustes', 'self_calibrated']


def proxy_of(name, **options):
    torch.manual_seed(0)
    return dict(encoder=ENCODERS[name], patch_size=KNOWN.get(name), **options)


def backbone_of(read_out='kk_gauss', **options):
    torch.manual_seed(0)
    return CLIPVisionBackbone('mini-ViT-8', out_indices=(1, 3), read_out=read_out,
                              **options).eval()


@torch.no_grad()
@pytest.mark.parametrize('name', ENCODERS)
def test_weights_are_those_of_the_formula(name):
    proxy = ProxyAffinity(**proxy_of(name))
    images = torch.randn(2, 3, 24, 40)
    weights = proxy(images, (3, 5))
    # by hand: its own normalisation, one patch per patch, cosines, softmax
    side = KNOWN.get(name) or ENCODERS[name]['patch_size']
    pixels = images * torch.tensor(CLIP_STD).view(3, 1, 1) + torch.tensor(
        CLIP_MEAN).view(3, 1, 1)
    own = (pixels - torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
           ) / torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    own = F.interpolate(own, (3 * side, 5 * side), mode='bilinear')
    maps = proxy.encoder(own)[-1]
    assert maps.shape[-2:] == (3, 5)
    for i in range(2):
        patches = F.normalize(maps[i].double().flatten(1).T, dim=1)
        scores = patches @ patches.T
        scores = 3 * (scores - 1.2 * scores.mean())
        for row, ours in zip(range(15), weights[i]):
            seen = [j for j in range(15) if scores[row, j] >= 0 or j == row]
            expected = torch.zeros(15)
            expected[seen] = scores[row, seen].softmax(0).float()
            torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_map_of_another_size_is_resized():
    proxy = ProxyAffinity(**proxy_of('DINO', input_size=(48, 32)))
    assert proxy(torch.randn(1, 3, 24, 40), (3, 5)).shape == (1, 15, 15)
    # 2 x 2 patches for each of CLIP's: their mean
    maps = proxy.encoder(torch.randn(1, 3, 48, 32))[-1]
    halved = F.interpolate(maps, (3, 2), mode='bilinear', align_corners=False)
    torch.testing.assert_close(halved, F.avg_pool2d(maps, 2))


@torch.no_grad()
@pytest.mark.parametrize('read_out', ATTENDING)
def test_every_attention_takes_it(read_out):
    images = torch.randn(2, 3, 40, 48)
    plain = backbone_of(read_out)(images)
    found = []
    for share in (1.0, 0.5, 1e-6):
        backbone = backbone_of(read_out, proxy=proxy_of('DINO', share=share))
        features = backbone(images)
        torch.testing.assert_close(features.cls, plain.cls)
        single = torch.cat([backbone(images[i:i + 1]).patch for i in range(2)])
        torch.testing.assert_close(features.patch, single, atol=1e-5, rtol=1e-4)
        found.append((features.patch - plain.patch).norm())
    assert found[0] > found[1] > 1e-2 and found[2] < 1e-3


@torch.no_grad()
def test_with_all_of_it_a_read_out_is_proxy_clip():
    """P(out(weights v))."""
    backbone = backbone_of('qq', proxy=proxy_of('DINO'))
    images = torch.randn(1, 3, 32, 40)
    seen = {}
    block = backbone.blocks[-1]
    ln_1 = block.ln_1.register_forward_hook(lambda m, i, o: seen.update(h=o))
    patch = backbone(images).patch
    ln_1.remove()
    v = block.attn.v_proj(seen['h'])[:, 1:]
    expected = backbone._project(block.attn.out_proj(
        backbone.proxy(images, (4, 5)) @ v))
    torch.testing.assert_close(patch, expected, atol=1e-5, rtol=1e-4)


def test_it_is_frozen_and_in_no_checkpoint():
    config = toy_model_config()
    config['backbone'].update(read_out='kk_gauss', proxy=proxy_of('DINO'))
    model = toy_model(**config)
    model.train()
    encoder = model.backbone.proxy.encoder
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())
    kept = [p.clone() for p in encoder.parameters()]
    data = toy_samples([(32, 32)])
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    model.parse_losses(losses)[0].backward()
    assert model.backbone.blocks[-1].attn.v_proj.weight.grad is not None
    # a checkpoint of a model without it fits, and the other way round
    config['backbone']['proxy'] = None
    other = toy_model(**config)
    assert set(other.state_dict()) == set(model.state_dict())
    model.load_state_dict(other.state_dict())
    other.load_state_dict(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(kept, encoder.parameters()))
    assert next(model.double().backbone.proxy.encoder.parameters()
                ).dtype == torch.float64


def test_its_weights_are_read_when_it_is_built(tmp_path):
    first = ProxyAffinity(**proxy_of('DINO')).encoder
    path = tmp_path / 'dino.pth'
    torch.save(dict(state_dict={f'backbone.{key}': value for key, value in
                                first.state_dict().items()}), path)
    encoder = dict(ENCODERS['DINO'], init_cfg=dict(
        type='Pretrained', checkpoint=str(path), prefix='backbone'))
    second = ProxyAffinity(encoder).encoder
    for one, two in zip(first.parameters(), second.parameters()):
        assert torch.equal(one, two)


def test_bad_proxies(monkeypatch):
    with pytest.raises(ValueError, match="read_out 'catseg' has no attention"):
        backbone_of('catseg', proxy=proxy_of('DINO'))
    with pytest.raises(ValueError, match='leave read_out and proxy out'):
        CLIPVisionBackbone('mini-ViT-8', plain=True, proxy=proxy_of('DINO'))
    with pytest.raises(ValueError, match='share must be above 0'):
        ProxyAffinity(**proxy_of('DINO', share=0))
    with pytest.raises(ValueError, match="no backbone 'ViT7'.*TIMMBackbone"):
        ProxyAffinity(dict(type='ViT7', patch_size=8))
    with pytest.raises(ValueError, match='set proxy.patch_size'):
        ProxyAffinity(ENCODERS['timm'])
    raw = ProxyAffinity(dict(ENCODERS['DINO'], out_type='raw'))
    with pytest.raises(ValueError, match="gives no maps.*out_type='featmap'"):
        raw(torch.randn(1, 3, 16, 16), (2, 2))
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith('mmpretrain'):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', missing)
    with pytest.raises(ImportError, match='pip install'):
        ProxyAffinity(**proxy_of('DINO'))
