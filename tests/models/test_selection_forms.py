"""Selections that say no, against loops in float64."""

import numpy as np
import pytest
import torch
from toys import assert_all_gradients, toy_model, toy_samples

from mmseg_dcpclip.models import CLIPFeatures, DynamicCategorySelection, TextEmbeddings
from mmseg_dcpclip.models.selection import select_by_votes, select_pure
from mmseg_dcpclip.models.selection.purify import transition


def scaled(x):
    return (x - x.min()) / (x.max() - x.min()) if x.max() > x.min() else np.ones_like(x)


def plain_pure(patch, text, attention, grid, purity, overlap, scale, box):
    patch, text = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (patch, text))
    t = attention.copy()
    for _ in range(3):
        t = t / t.sum(0, keepdims=True)
        t = t / t.sum(1, keepdims=True)
    t = (t + t.T) / 2
    t = t @ t
    cosine = patch @ text.T
    chance = np.exp(scale * cosine)
    chance /= chance.sum(1, keepdims=True)
    words = sorted(set(cosine.argmax(1).tolist()))
    maps, pure = {}, {}
    for c in words:
        a = scaled(chance[:, c])
        r = t @ a
        if box is not None:
            rows, columns = np.nonzero((a > box).reshape(grid))
            inside = np.zeros(grid)
            inside[rows.min():rows.max() + 1, columns.min():columns.max() + 1] = 1
            r = r * inside.ravel()
        maps[c] = r = scaled(r)
        pure[c] = (a * r).sum() / (a.sum() + r.sum())
    kept = [c for c in words if pure[c] > purity] or [max(words, key=pure.get)]

    def shared(c, d):
        dot = maps[c] @ maps[d]
        return dot / (maps[c] @ maps[c] + maps[d] @ maps[d] - dot)
    return [c for c in kept if not any(
        pure[d] > pure[c] and shared(c, d) >= overlap for d in kept)]


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    text = rng.normal(size=(30, 16))
    patch = text[rng.integers(0, 8, (3, 20))] + 0.8 * rng.normal(size=(3, 20, 16))
    return patch, text, rng.random((3, 20, 20)) + 0.01


@pytest.mark.parametrize('purity, overlap, box', [
    (0.1, 0.85, None), (0.2, 0.3, None), (0.0, 1.0, None), (0.15, 0.5, 0.4),
    (1.0, 0.5, None)])
def test_purify_equals_the_plain_formula(inputs, purity, overlap, box):
    patch, text, attention = inputs
    options = dict(purity=purity, overlap=overlap, scale=20.0, box=box)
    tensors = [torch.tensor(x) for x in (patch, text, attention)]
    result = select_pure(*tensors, (4, 5), **options)
    for i in range(3):
        expected = plain_pure(patch[i], text, attention[i], (4, 5), **options)
        assert result[i].nonzero()[:, 0].tolist() == expected
        one = select_pure(tensors[0][i:i + 1], tensors[1], tensors[2][i:i + 1], (4, 5),
                          **options)
        assert torch.equal(one[0], result[i])
    assert torch.equal(result, select_pure(*tensors, (4, 5), **options, block=7,
                                           max_scores=7))


def test_votes_equal_the_plain_count(inputs):
    patch, text, _ = inputs
    text[20] = text[3]  # an equal word takes no part
    result = select_by_votes(torch.tensor(patch), torch.tensor(text), num_kept=6)
    chunked = select_by_votes(torch.tensor(patch), torch.tensor(text), num_kept=6,
                              block=7, max_scores=7)
    assert torch.equal(result, chunked)
    unit = text / np.linalg.norm(text, axis=1, keepdims=True)
    for i in range(3):
        votes = dict.fromkeys(range(30), 0)
        for p in patch[i]:
            order = [c for c in np.argsort(-(unit @ p), kind='stable') if c != 20]
            for c, vote in zip(order, (100, 10, 1)):
                votes[c] += vote
        votes[20] = -1
        best = sorted(votes, key=lambda c: (-votes[c], c))[:6]
        assert result[i].nonzero()[:, 0].tolist() == sorted(best)


def test_a_word_that_repeats_another_takes_no_place():
    """Words without votes follow by their ids, repeats behind all of them."""
    words = torch.eye(6)[[0, 0, 1, 2, 3, 4]]
    patch = torch.tensor([[[5., 4, 3, 0, 0, 0]]])  # votes for entries 0, 2 and 3
    assert select_by_votes(patch, words, num_kept=5).tolist() == [
        [True, False, True, True, True, True]]


def test_transition_equals_the_plain_formula():
    rng = np.random.default_rng(1)
    attention = rng.random((2, 6, 6))**8 + 1e-3  # far from doubly stochastic
    found = transition(torch.tensor(attention))
    for x, t in zip(attention, found):
        for _ in range(3):
            x = x / x.sum(0, keepdims=True)
            x = x / x.sum(1, keepdims=True)
        x = (x + x.T) / 2
        np.testing.assert_allclose(t, x @ x, rtol=1e-5)


def test_votes_with_few_words():
    patch, text = torch.randn(2, 5, 4), torch.randn(2, 4)
    assert select_by_votes(patch, text, num_kept=32).all()
    assert select_by_votes(patch, text, num_kept=1).sum(1).tolist() == [1, 1]
    one = select_pure(patch, text[:1], torch.rand(2, 5, 5), (1, 5))
    assert one.all()


FORMS = ['paper', 'union', 'purify', 'votes']


def toy_view(seed: int = 0, batch: int = 2, words: int = 30):
    """Features of images whose patches lie near words, and the words."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(words, 16, generator=generator)
    own = torch.randint(0, min(8, words), (batch, 20), generator=generator)
    patch = text[own] + 0.8 * torch.randn(batch, 20, 16, generator=generator)
    features = CLIPFeatures(
        cls=patch.mean(1), patch=patch, grid=(4, 5), shallow=(), attention=None,
        mean_attention=torch.rand(batch, 20, 20, generator=generator) + 0.01)
    return features, TextEmbeddings(text[:, None], text)


@pytest.mark.parametrize('form', FORMS)
def test_autocast_selects_the_same(form):
    """Words are compared in float32: products of half precision would turn near ones.
    """
    features, text = toy_view()
    selection = DynamicCategorySelection(form=form, num_kept=6)
    expected = selection(features, text, 30.0)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(selection(features, text, 30.0), expected)
    assert 0 < expected.sum() < expected.numel()


@pytest.mark.parametrize('form', ['purify', 'votes'])
def test_hundred_thousand_words_within_a_budget(form):
    """In parts as all at once, and never with all scores in memory."""
    features, text = toy_view(batch=1, words=100_000)
    text.first_equal()  # kept from then on
    options = dict(form=form, num_kept=6)
    with torch.profiler.profile(profile_memory=True) as profile:
        selected = DynamicCategorySelection(max_scores=2**16, **options)(
            features, text, 30.0)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert 0 < largest < 100_000 * 20 * 4 / 4
    whole = DynamicCategorySelection(max_scores=2**24, **options)(features, text, 30.0)
    assert torch.equal(selected, whole)


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
@pytest.mark.parametrize('form', ['purify', 'votes'])
def test_each_form_trains_and_tests(form, precision):
    model = toy_model(selection=dict(form=form, num_kept=2))
    data = model.data_preprocessor(toy_samples([(32, 32)] * 2), True)
    with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
        loss = model(**data, mode='loss')['decode.loss_bce']
    loss.backward()
    assert_all_gradients(model)
    model.eval()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16,
                                         enabled=precision == 'bf16'):
        for sample in model.predict(**data):
            found = set(sample.pred_sem_seg.data.unique().tolist())
            assert found <= set(sample.selected_categories)
            assert form != 'votes' or len(sample.selected_categories) == 2


@pytest.mark.parametrize('options, message', [
    (dict(form='best'), 'purify'), (dict(purity=1.5), 'purity'),
    (dict(overlap=-0.1), 'overlap'), (dict(box=2), 'box'),
    (dict(num_kept=0), 'num_kept')])
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        DynamicCategorySelection(**options)


def test_purify_needs_attention():
    model = toy_model(selection=dict(form='purify'))
    features = model.backbone(torch.randn(1, 3, 32, 32))
    with pytest.raises(ValueError, match='with_mean_attention'):
        model.select(features, model.text_embeddings())
