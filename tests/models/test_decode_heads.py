import pytest
import torch
import torch.nn.functional as F
from mmseg.models.backbones.swin import ShiftWindowMSA
from toys import assert_all_gradients, toy_features, toy_pairs

from mmseg_dcpclip.models import CosineHead, SpatialEnhancedDecoder
from mmseg_dcpclip.models.decode_heads.guided_window_attention import (
    GuidedShiftWindowMSA,
)
from mmseg_dcpclip.models.decode_heads.spatial_enhanced_decoder import attention_map
from mmseg_dcpclip.models.structures import AlignedFeatures, take_images

SMALL = dict(cost_dims=8, shallow_dims=6, window_size=2, attention_grid=3,
             guidance_dims=(5, 3), similarity_dims=(3, 2), skip_dims=(2, 2),
             num_heads=(2, 2), mlp_ratio=1)


def toy_aligned(num_pairs, grid=(4, 5), dims=8):
    return AlignedFeatures(*(torch.randn(num_pairs, c, *grid, requires_grad=True)
                             for c in (1, dims, dims)))


# -------------------------------------------------------------- window attention

@pytest.mark.parametrize('shift', [0, 2])
@pytest.mark.parametrize('size', [(8, 12), (4, 4)])
def test_without_guidance_it_is_swin(shift, size):
    torch.manual_seed(0)
    ours = GuidedShiftWindowMSA(8, 0, 2, window_size=4, shift_size=shift).eval()
    ours.init_weights()
    theirs = ShiftWindowMSA(8, 2, window_size=4, shift_size=shift).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, *size, 8)
    expected = theirs(x.flatten(1, 2), size).view_as(x)
    # mmseg masks with -100, we with -inf
    torch.testing.assert_close(ours(x, None, torch.zeros(3).long()), expected,
                               atol=1e-5, rtol=1e-4)


def test_guidance_enters_queries_and_keys_only_eq14():
    """One window: written out with the concatenation F_m."""
    torch.manual_seed(0)
    layer = GuidedShiftWindowMSA(4, 6, 1, window_size=3)
    x, guidance, image = torch.randn(2, 3, 3, 4), torch.randn(1, 3, 3, 6), torch.zeros(
        2).long()
    qkv, extra = layer.w_msa.qkv, layer.guidance
    concat = torch.cat([x, guidance[image]], -1).flatten(1, 2)
    q, k = (F.linear(concat, torch.cat([qkv.weight[rows], extra.weight[rows]], 1),
                     qkv.bias[rows]) for rows in (slice(0, 4), slice(4, 8)))
    v = F.linear(x.flatten(1, 2), qkv.weight[8:], qkv.bias[8:])
    index, table = (layer.w_msa.relative_position_index,
                    layer.w_msa.relative_position_bias_table)
    scores = q @ k.transpose(1, 2) / 2 + table[index.flatten()].view(9, 9)
    expected = layer.w_msa.proj(scores.softmax(-1) @ v).view_as(x)
    result = layer(x, layer.guide(guidance), image)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('shift', [0, 2])
@pytest.mark.parametrize('images', [1, 2])
def test_fused_kernel_equals_the_one_with_gradients(shift, images):
    """With padding, shift and guidance; the bias has a gradient in training only."""
    torch.manual_seed(0)
    layer = GuidedShiftWindowMSA(8, 6, 2, window_size=4, shift_size=shift)
    torch.nn.init.normal_(layer.w_msa.relative_position_bias_table)
    x, guidance = torch.randn(3, 6, 9, 8), torch.randn(images, 6, 9, 6)
    image = torch.tensor([0, 0, images - 1])
    trained = layer(x, layer.guide(guidance), image)
    with torch.no_grad():
        fused = layer(x, layer.guide(guidance), image)
    torch.testing.assert_close(fused, trained, atol=1e-5, rtol=1e-4)
    trained.sum().backward()
    assert layer.w_msa.relative_position_bias_table.grad.abs().max() > 0


@pytest.mark.parametrize('shift', [0, 2])
def test_padding_is_not_seen(shift):
    """A map smaller than a window attends to itself, not to zeros around it."""
    torch.manual_seed(0)
    layer = GuidedShiftWindowMSA(4, 0, 1, window_size=4, shift_size=shift)
    torch.nn.init.zeros_(layer.w_msa.qkv.weight)
    torch.nn.init.constant_(layer.w_msa.qkv.bias, 1.0)  # all values 1, all scores alike
    torch.nn.init.eye_(layer.w_msa.proj.weight)
    torch.nn.init.zeros_(layer.w_msa.proj.bias)
    out = layer(torch.randn(1, 3, 5, 4), None, torch.zeros(1).long())
    torch.testing.assert_close(out, torch.ones_like(out))


# ------------------------------------------------------------------------ decoder

def test_attention_map_layout():
    attention = torch.rand(2, 20, 20)
    same = attention_map(attention[:, :16, :16], (4, 4), 4)
    # channel = key, place = query, a uniform row gives ones
    torch.testing.assert_close(same[1, 7, 2, 3], attention[1, 11, 7] * 16)
    uniform = attention_map(torch.full((1, 20, 20), 1 / 20), (4, 5), 3)
    assert uniform.shape == (1, 9, 4, 5)
    torch.testing.assert_close(uniform, torch.ones_like(uniform))
    pooled = attention_map(attention, (4, 5), 2)
    keys = attention[0, 13].view(1, 1, 4, 5)
    torch.testing.assert_close(pooled[0, :, 2, 3],
                               20 * F.adaptive_avg_pool2d(keys, 2).flatten())


@pytest.mark.parametrize('options, scale', [
    ({}, 4), (dict(num_layers=0), 1), (dict(num_layers=1), 2),
    (dict(spatial_enhance=False), 4), (dict(fuse_shallow=False), 4),
    (dict(fuse_similarity=False), 4), (dict(fuse_attention=False), 4),
    (dict(fuse_shallow=False, fuse_similarity=False, fuse_attention=False), 4)])
def test_shapes_and_gradients_of_every_switch(options, scale):
    features, pairs = toy_features(), toy_pairs((3, 1))
    aligned = toy_aligned(4)
    head = SpatialEnhancedDecoder(**SMALL | options)
    head.init_weights()
    logits = head(features, aligned, pairs)
    assert logits.shape == (4, 4 * scale, 5 * scale)
    logits.square().sum().backward()
    assert_all_gradients(head)
    layers = options.get('num_layers', 2) > 0
    assert (features.shallow[0].grad is not None) == (
        layers and options.get('fuse_shallow', True))
    assert (aligned.cost.grad is not None) == (
        layers and options.get('fuse_similarity', True))
    assert (features.attention.grad is not None) == head.with_attention == (
        layers and options.get('fuse_attention', True)
        and options.get('spatial_enhance', True))


def test_layer_equals_the_concatenations_of_eq16():
    """The split 3 x 3 conv against one conv on the repeated concatenation."""
    torch.manual_seed(0)
    features, pairs, aligned = toy_features(), toy_pairs((3, 1)), toy_aligned(4)
    head = SpatialEnhancedDecoder(**SMALL | dict(spatial_enhance=False, num_layers=1))
    layer = head.layers[0].eval()
    shallow = torch.cat(features.shallow, 1)

    def up(x):
        return F.interpolate(x, (8, 10), mode='bilinear')

    f_out = torch.cat([layer.upsample(aligned.refined),
                       up(layer.similarity_conv(aligned.cost)),
                       layer.skip_conv(shallow)[pairs.image]], 1)
    weight = torch.cat([layer.fuse.weight, layer.fuse_skip.weight], 1)
    expected = layer.refine(F.conv2d(f_out, weight, layer.fuse.bias, padding=1))
    maps = layer.image_maps((4, 5), shallow, None)
    result = layer(aligned.refined, aligned.cost, maps, pairs.image)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-4)


def test_batch_equals_one_by_one():
    torch.manual_seed(0)
    features, pairs, aligned = toy_features(), toy_pairs((3, 1)), toy_aligned(4)
    head = SpatialEnhancedDecoder(**SMALL).eval()
    batch = head(features, aligned, pairs)
    for b, rows in enumerate((slice(0, 3), slice(3, 4))):
        single = toy_features(batch=1)
        single.shallow = tuple(x[b:b + 1] for x in features.shallow)
        single.attention = features.attention[b:b + 1]
        part = AlignedFeatures(*(x[rows] for x in (aligned.similarity, aligned.cost,
                                                   aligned.refined)))
        alone = head(single, part, toy_pairs((rows.stop - rows.start, )))
        torch.testing.assert_close(alone, batch[rows], atol=1e-5, rtol=1e-4)


def test_parts_equal_the_whole():
    """Some pairs at a time with the images' maps made once, both heads."""
    torch.manual_seed(0)
    features, pairs, aligned = toy_features(), toy_pairs((3, 1)), toy_aligned(4)
    for head in (SpatialEnhancedDecoder(**SMALL).eval(), CosineHead()):
        maps = head.prepare(features)
        parts, start = [], 0
        for images, part in pairs.split(2):
            rows = slice(start, start + len(part))
            some = AlignedFeatures(*(x[rows] for x in (
                aligned.similarity, aligned.cost, aligned.refined)))
            parts.append(head(features[images], some, part,
                              take_images(maps, images)))
            start = rows.stop
        assert len(parts) == 2
        torch.testing.assert_close(torch.cat(parts), head(features, aligned, pairs),
                                   atol=1e-5, rtol=1e-4)


def test_too_few_widths():
    with pytest.raises(ValueError, match='guidance_dims'):
        SpatialEnhancedDecoder(num_layers=3)


def test_cosine_head():
    features, pairs, aligned = toy_features(), toy_pairs((3, 1)), toy_aligned(4)
    head = CosineHead(scale=7.0, bias=-2.0)
    torch.testing.assert_close(head(features, aligned, pairs),
                               7 * aligned.similarity[:, 0] - 2)
    assert not any(p.requires_grad for p in CosineHead(trainable=False).parameters())
