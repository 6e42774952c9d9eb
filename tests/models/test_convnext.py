"""Our neck and decoder behind a ConvNeXt CLIP."""

import json
import warnings

import open_clip
import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from toys import assert_all_gradients, toy_model_config, toy_samples

from mmseg_dcpclip.models import CLIPConvNeXtBackbone, CLIPVisionBackbone

CONFIG = dict(
    embed_dim=24,
    vision_cfg=dict(timm_model_name='test_convnext', timm_pool='', timm_proj='linear',
                    timm_model_pretrained=False, image_size=64),
    text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=2))


@pytest.fixture(scope='module')
def toy_clip(tmp_path_factory):
    """A tiny ConvNeXt CLIP of open_clip's, its config file and weights."""
    folder = tmp_path_factory.mktemp('convnext')
    config = folder / 'toy-convnext.json'
    config.write_text(json.dumps(CONFIG))
    torch.manual_seed(0)
    clip = open_clip.CLIP(**CONFIG).eval()
    for module in clip.visual.modules():  # LayerScale starts at 1e-6: nothing to see
        if hasattr(module, 'gamma'):
            torch.nn.init.normal_(module.gamma)
    weights = folder / 'weights.pt'
    torch.save(clip.state_dict(), weights)
    return clip, str(config), str(weights)


def backbone_of(toy_clip, **options):
    backbone = CLIPConvNeXtBackbone(toy_clip[1], toy_clip[2], **options)
    backbone.init_weights()
    return backbone.eval()


@torch.no_grad()
def test_image_feature_is_open_clips(toy_clip):
    images = torch.randn(2, 3, 64, 96)
    features = backbone_of(toy_clip)(images)
    torch.testing.assert_close(features.cls, toy_clip[0].visual(images))
    assert features.grid == (2, 3) and features.patch.shape == (2, 6, 24)
    assert features.attention is None


@torch.no_grad()
def test_patches_are_what_clip_says_of_one_place(toy_clip):
    """With a single place the pooling has nothing to average."""
    images = torch.randn(2, 3, 32, 32)
    features = backbone_of(toy_clip)(images)
    torch.testing.assert_close(features.patch[:, 0], toy_clip[0].visual(images))
    # and place by place: norm and projection of the trunk's map
    images = torch.randn(1, 3, 64, 64)
    features = backbone_of(toy_clip)(images)
    visual = toy_clip[0].visual
    trunk = visual.trunk.forward_features(images)
    for n in range(4):
        place = trunk[:, :, n // 2:n // 2 + 1, n % 2:n % 2 + 1]
        expected = visual.head(visual.trunk.forward_head(place))
        torch.testing.assert_close(features.patch[:, n], expected)


@torch.no_grad()
def test_shallow_maps_are_pooled_to_the_grid(toy_clip):
    images = torch.randn(1, 3, 64, 96)
    backbone = backbone_of(toy_clip, out_indices=(1, 2))
    features = backbone(images)
    x = toy_clip[0].visual.trunk.stem(images)
    for i, stage in enumerate(toy_clip[0].visual.trunk.stages):
        x = stage(x)
        if i in (1, 2):
            expected = F.adaptive_avg_pool2d(x, (2, 3))
            torch.testing.assert_close(features.shallow[i - 1], expected)
    assert backbone.shallow_dims == tuple(m.shape[1] for m in features.shallow)


@torch.no_grad()
@pytest.mark.parametrize('size, grid', [((1, 1), (1, 1)), ((70, 40), (2, 1)),
                                        ((32, 200), (1, 6))])
def test_any_size(toy_clip, size, grid):
    features = backbone_of(toy_clip)(torch.randn(1, 3, *size))
    assert features.grid == grid and torch.isfinite(features.patch).all()


def model_config(toy_clip, **changes):
    clip = dict(model_name=toy_clip[1], pretrained=toy_clip[2])
    head = dict(toy_model_config()['decode_head'], fuse_attention=False)
    neck = toy_model_config()['neck']
    for part in (head, neck):
        for size in ('cost_dims', 'shallow_dims', 'embed_dims', 'num_templates'):
            part.pop(size, None)
    return toy_model_config(
        backbone=dict(type='CLIPConvNeXtBackbone', trainable='all', **clip),
        text_encoder=dict(type='CLIPTextEncoder', templates=['{}', 'some {}'], **clip),
        neck=dict(neck, cost_dims=16), decode_head=head) | changes


def test_a_whole_model_behind_it(toy_clip):
    """Trains a step and segments; the sizes come from the backbone."""
    torch.manual_seed(0)
    model = MODELS.build(model_config(toy_clip))
    model.init_weights()
    data = model.data_preprocessor(toy_samples([(64, 64), (64, 96)]), True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    unused = {n for n, p in model.named_parameters()
              if p.requires_grad and p.grad is None}
    assert not unused
    assert_all_gradients(model.neck)
    assert_all_gradients(model.decode_head)
    assert model.decode_head.layers[0].shallow_conv.in_channels == sum(
        model.backbone.shallow_dims)
    with torch.no_grad():
        results = model.eval().predict(**model.data_preprocessor(
            toy_samples([(64, 64), (64, 96)])))
    assert [r.pred_sem_seg.data.shape[1:] for r in results] == [(64, 64), (64, 96)]


def test_what_does_not_fit_is_refused(toy_clip):
    with pytest.raises(ValueError, match='needs attention.*fuse_attention=False'):
        config = model_config(toy_clip)
        config['decode_head']['fuse_attention'] = True
        MODELS.build(config)
    with pytest.raises(ValueError, match='no ConvNeXt'):
        CLIPConvNeXtBackbone('mini-ViT-8')
    with pytest.raises(ValueError, match='toy-convnext'):
        CLIPVisionBackbone(toy_clip[1])
    with pytest.raises(ValueError, match='out_indices'):
        CLIPConvNeXtBackbone(toy_clip[1], out_indices=(4, ))
    with pytest.raises(ValueError, match='trainable'):
        CLIPConvNeXtBackbone(toy_clip[1], trainable='qv')
    with pytest.raises(ValueError, match='no attention'):
        backbone_of(toy_clip)(torch.randn(1, 3, 32, 32), with_attention=True)
    with pytest.raises(ValueError, match='no attention'):
        backbone_of(toy_clip)(torch.randn(1, 3, 32, 32), with_mean_attention=True)


def test_real_architectures_build():
    """open_clip's own ConvNeXt models, without memory."""
    with torch.device('meta'):
        for name, dims, widths in (('convnext_base_w', 640, (256, 512)),
                                   ('convnext_large_d', 768, (384, 768))):
            backbone = CLIPConvNeXtBackbone(name)
            assert backbone.joint_dims == dims and backbone.shallow_dims == widths
            features = backbone(torch.randn(1, 3, 64, 64, device='meta'))
            assert features.patch.shape == (1, 4, dims)


def test_checkpointed_blocks_change_nothing(toy_clip):
    images = torch.randn(2, 3, 64, 96)
    results = []
    for with_cp in (False, True):
        backbone = backbone_of(toy_clip, trainable='all', with_cp=with_cp).train()
        features = backbone(images)
        loss = sum(m.square().mean() for m in (features.cls, features.patch,
                                               *features.shallow))
        results.append((loss, *torch.autograd.grad(loss, list(backbone.parameters()))))
    for one, two in zip(*results):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-6)


def test_layer_depth_is_mmpretrains():
    """Of the same architecture there, stage by stage and block by block."""
    from mmpretrain.models.backbones import ConvNeXt
    with torch.device('meta'):
        ours = CLIPConvNeXtBackbone('convnext_base_w')
    theirs = ConvNeXt(dict(depths=[3, 3, 27, 3], channels=[4] * 4))
    depths = {name: ours.get_layer_depth(f'backbone.{name}', 'backbone.')
              for name, _ in ours.named_parameters()}
    for name, depth in depths.items():
        parts = name.split('.')
        if parts[2] == 'stem':
            other = 'downsample_layers.0.0.weight'
        elif parts[2] == 'stages' and parts[4] == 'downsample':
            other = f'downsample_layers.{parts[3]}.0.weight'
        elif parts[2] == 'stages':
            other = f'stages.{parts[3]}.{parts[5]}.gamma'
        else:
            other = 'norm3.weight'
        assert depth == theirs.get_layer_depth(other), name
    assert {depth for depth, _ in depths.values()} == set(range(14))
    assert ours.get_layer_depth('decode_head.x', 'backbone.') == (13, 14)


def test_traced_and_counted(toy_clip):
    from mmengine.analysis import get_model_complexity_info

    class Image(torch.nn.Module):
        """A tracer returns tensors only."""

        def __init__(self):
            super().__init__()
            self.backbone = backbone_of(toy_clip)

        def forward(self, images):
            features = self.backbone(images)
            return features.cls, features.patch, *features.shallow

    model, images = Image(), torch.randn(1, 3, 70, 40)
    with warnings.catch_warnings():  # that it holds for one size
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        traced = torch.jit.trace(model, images, check_trace=False)
    images = torch.randn(2, 3, 70, 40)
    torch.testing.assert_close(traced(images), model(images))
    counted = get_model_complexity_info(model, inputs=images[:1], show_table=False,
                                        show_arch=False)
    assert counted['flops'] > 0
