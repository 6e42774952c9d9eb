import pytest
import torch
import torch.nn.functional as F
from toys import assert_all_gradients, toy_features, toy_model, toy_pairs, toy_samples

from mmseg_dcpclip.models import CostAggregation, EveryCategory
from mmseg_dcpclip.models.necks.cost_aggregation import linear_attention
from mmseg_dcpclip.models.structures import Pairs, TextEmbeddings

SMALL = dict(embed_dims=8, num_templates=3, cost_dims=4, guidance_dims=6, num_layers=2,
             num_heads=2, window_size=3, kernel_size=3, mlp_ratio=2)
AGGREGATION = dict(
    selection=dict(type='EveryCategory'), tag_validation=None,
    neck=dict(type='CostAggregation', cost_dims=16, guidance_dims=6, num_layers=1,
              num_heads=2, window_size=3, kernel_size=3, mlp_ratio=1))


def unit_text(pairs, templates=3, dims=8):
    return F.normalize(torch.randn(len(pairs), templates, dims), dim=-1)


def test_linear_attention_equals_its_weights():
    q, k, v = torch.randn(5, 3), torch.randn(4, 3), torch.randn(4, 2)
    weights = torch.empty(5, 4)
    for i in range(5):
        for j in range(4):
            weights[i, j] = ((F.elu(q[i]) + 1) * (F.elu(k[j]) + 1)).sum()
    expected = weights / weights.sum(1, keepdim=True) @ v
    torch.testing.assert_close(linear_attention(q, k, v), expected)


def test_every_parameter_is_trained():
    features, pairs = toy_features(), toy_pairs((3, 1))
    neck = CostAggregation(**SMALL)
    aligned = neck(features, unit_text(pairs), pairs)
    assert aligned.refined.shape == (4, 4, 4, 5)
    aligned.refined.square().sum().backward()
    assert_all_gradients(neck)


def test_order_of_the_words_changes_nothing():
    features, pairs = toy_features(batch=1), Pairs(
        torch.zeros(4, dtype=torch.long), torch.arange(4), [4])
    neck, text, order = CostAggregation(**SMALL), unit_text(pairs), [2, 0, 3, 1]
    torch.testing.assert_close(neck(features, text[order], pairs).refined,
                               neck(features, text, pairs).refined[order],
                               atol=1e-5, rtol=1e-4)


def test_words_of_an_image_see_each_other_and_no_other_image():
    features, pairs = toy_features(), toy_pairs((2, 2))
    neck, text = CostAggregation(**SMALL), unit_text(pairs)
    before = neck(features, text, pairs).refined
    text = torch.cat([-text[:1], text[1:]])
    change = (neck(features, text, pairs).refined - before).abs().flatten(1).amax(1)
    assert change[1] > 1e-4 and change[2:].max() == 0


def test_few_places_at_once_change_nothing():
    model = toy_model(**AGGREGATION).eval()
    data = model.data_preprocessor(toy_samples([(24, 32), (24, 32)]))
    found = []
    for places in (1, 2**20):
        model.test_cfg = dict(mode='whole', max_places=places)
        with torch.no_grad():
            found.append(model.encode_decode(data['inputs'])[0])
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


def test_every_word_in_tests_and_some_in_training():
    features, text = toy_features(), TextEmbeddings.from_templates(torch.randn(9, 1, 8))
    selection = EveryCategory(num_trained=4)
    assert selection.eval()(features, text, 1.0).all()
    chosen = torch.stack([selection.train()(features, text, 1.0) for _ in range(50)])
    assert (chosen.sum(-1) == 4).all()
    assert chosen.any(0).all() and not chosen.all(0).any()
    assert EveryCategory(num_trained=9).train()(features, text, 1.0).all()
    with pytest.raises(ValueError, match='num_trained must be positive, got 0'):
        EveryCategory(num_trained=0)
