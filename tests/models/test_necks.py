import pytest
import torch
import torch.nn.functional as F
from toys import assert_all_gradients, toy_features, toy_pairs

from mmseg_dcpclip.models import TextGuidedAlignment
from mmseg_dcpclip.models.necks import cost_volume
from mmseg_dcpclip.models.necks.competition import log_shares, rival_logits
from mmseg_dcpclip.models.necks.text_guided_alignment import (
    CostSelfAttention,
    CrossAttentionLayer,
    TextualGuidance,
)
from mmseg_dcpclip.models.structures import Pairs, take_images

SMALL = dict(embed_dims=8, num_templates=3, cost_dims=4, kernel_size=3,
             num_self_heads=2, mlp_ratio=2)


def unit_text(pairs, templates=3, dims=8):
    return F.normalize(torch.randn(len(pairs), templates, dims), dim=-1)


def attend(q, k, v):
    """Scaled dot-product attention written out."""
    return (q @ k.transpose(-2, -1) / q.shape[-1]**0.5).softmax(-1) @ v


def test_cost_volume_is_the_cosine():
    features, pairs = toy_features(), toy_pairs((3, 1))
    text = unit_text(pairs)
    volume = cost_volume(features, text, pairs)
    assert volume.shape == (4, 3, 4, 5)
    for m in range(4):
        patches = features.patch[pairs.image[m]]
        for p in range(3):
            expected = F.cosine_similarity(patches, text[m, p][None], dim=-1)
            torch.testing.assert_close(volume[m, p].flatten(), expected)


def test_textual_guidance_eq7():
    cls, text, image = torch.randn(2, 8), torch.randn(3, 8), torch.tensor([0, 0, 1])
    module = TextualGuidance(8)
    module.init_weights()
    expected = module.projection(torch.cat(
        [cls[image] * text, text, module.prompt[None].repeat(3, 1)], 1))
    torch.testing.assert_close(module(cls, text, image), expected)


def test_cross_attention_eq8_to_10():
    torch.manual_seed(0)
    patch, guidance, pairs = torch.randn(2, 6, 8), torch.randn(4, 8), toy_pairs((3, 1))
    layer = CrossAttentionLayer(8).eval()
    result = layer(patch, guidance, pairs)
    for b, keys in enumerate((guidance[:3], guidance[3:])):
        z = attend(layer.query(patch[b]), layer.key(keys), layer.value(keys))
        x = layer.norm1(z + patch[b])
        hidden = F.gelu(layer.ffn.layers[0][0](x))
        expected = layer.norm2(layer.ffn.layers[1](hidden) + x)
        torch.testing.assert_close(result[b], expected, atol=1e-5, rtol=1e-4)


def test_self_attention_equals_the_concatenation_eq11_to_12():
    torch.manual_seed(0)
    cost, tokens, image = torch.randn(3, 6, 4), torch.randn(2, 6, 4), torch.tensor(
        [0, 0, 1])
    layer = CostSelfAttention(4, num_heads=1, mlp_ratio=2).eval()
    concat = torch.cat([cost, tokens[image]], -1)  # built here, never in the layer
    weight = torch.cat([layer.qkv.weight, layer.qkv_image.weight], 1)
    q, k, v = F.linear(concat, weight, layer.qkv.bias).chunk(3, -1)
    x = layer.norm1(attend(q, k, v) + cost)
    expected = layer.norm2(layer.ffn(x))
    torch.testing.assert_close(layer(cost, tokens, image), expected, atol=1e-5,
                               rtol=1e-4)


@pytest.mark.parametrize('options', [
    {}, dict(cross_attention=False), dict(self_attention=False),
    dict(cross_attention=False, self_attention=False), dict(guidance_cls=None),
    dict(guidance_cls='logit'), dict(guidance_cls=None, guidance_prompt=False),
    dict(num_cross_layers=2, num_cross_heads=2), dict(competition=9.0)])
def test_shapes_and_gradients_of_every_switch(options):
    features, pairs = toy_features(), toy_pairs((3, 1))
    neck = TextGuidedAlignment(**SMALL | options)
    neck.init_weights()
    aligned = neck(features, unit_text(pairs), pairs)
    assert aligned.similarity.shape == (4, 1, 4, 5)
    assert aligned.cost.shape == aligned.refined.shape == (4, 4, 4, 5)
    (aligned.refined.square().sum() + aligned.cost.sum()).backward()
    assert_all_gradients(neck)
    # [CLS] enters through the guidance only
    uses_cls = options.get('cross_attention', True) and options.get(
        'guidance_cls', 'product')
    assert (features.cls.grad is not None) == bool(uses_cls)


def test_switches_change_the_parameters_they_name():
    def count(**options):
        return sum(p.numel() for p in TextGuidedAlignment(**SMALL, **options)
                   .parameters())

    full = count()
    assert full - count(guidance_prompt=False) == 8 + 8 * 8
    assert full - count(guidance_cls=None) == 8 * 8
    assert full - count(guidance_cls='logit') == 7 * 8
    assert count(cross_attention=False, self_attention=False) == 3 * 4 * 9 + 4


def test_batch_equals_one_by_one():
    torch.manual_seed(0)
    features, pairs = toy_features(), toy_pairs((3, 1))
    text = unit_text(pairs)
    neck = TextGuidedAlignment(**SMALL).eval()
    batch = neck(features, text, pairs).refined
    for b, rows in enumerate((slice(0, 3), slice(3, 4))):
        single = toy_features(batch=1)
        single.cls, single.patch = features.cls[b:b + 1], features.patch[b:b + 1]
        alone = neck(single, text[rows], toy_pairs((rows.stop - rows.start, )))
        torch.testing.assert_close(alone.refined, batch[rows], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('options', [{}, dict(self_attention=False),
                                     dict(competition=9.0)])
def test_parts_equal_the_whole(options):
    """Some pairs at a time, the image tokens made once from all of them."""
    torch.manual_seed(0)
    features, pairs = toy_features(), toy_pairs((3, 1))
    text = unit_text(pairs)
    neck = TextGuidedAlignment(**SMALL | options).eval()
    shared = neck.prepare(features, F.normalize(text.mean(1), dim=-1), pairs)
    parts, start = [], 0
    for images, part in pairs.split(2):
        rows = slice(start, start + len(part))
        parts.append(neck(features[images], text[rows], part,
                          take_images(shared, images)).refined)
        start = rows.stop
    torch.testing.assert_close(torch.cat(parts), neck(features, text, pairs).refined,
                               atol=1e-5, rtol=1e-4)


def test_log_shares_are_a_softmax_over_the_selected_of_each_image():
    features, pairs = toy_features(), toy_pairs((3, 1))
    mean = F.normalize(torch.randn(4, 8), dim=-1)
    found = log_shares(features, mean, pairs, 9.0,
                       rival_logits(features, mean, pairs, 9.0))
    cosines = torch.einsum('bnd,md->bmn', F.normalize(features.patch, dim=-1), mean)
    first = (9 * cosines[0, :3]).log_softmax(0).view(3, 1, 4, 5)
    torch.testing.assert_close(found[:3], first)
    torch.testing.assert_close(found[3:], torch.zeros(1, 1, 4, 5))  # nothing else there


def test_what_fills_up_is_no_rival():
    features = toy_features(batch=2)
    mean = F.normalize(torch.randn(6, 8), dim=-1)
    valid = torch.tensor([[True, True, False], [True, False, False]])
    filled = Pairs.filled_up(torch.arange(3).expand(2, 3), valid)
    ragged = toy_pairs((2, 1))
    torch.testing.assert_close(
        rival_logits(features, mean, filled, 9.0),
        rival_logits(features, mean[[0, 1, 3]], ragged, 9.0))


def test_wrong_number_of_templates():
    features, pairs = toy_features(), toy_pairs((1, 1))
    with pytest.raises(ValueError, match='num_templates'):
        TextGuidedAlignment(**SMALL)(features, unit_text(pairs, templates=2), pairs)
    with pytest.raises(ValueError, match='guidance_cls'):
        TextGuidedAlignment(guidance_cls='sum')
