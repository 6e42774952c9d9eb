import numpy as np
import pytest
import torch

from mmseg_dcpclip.models import DynamicCategorySelection, select_categories
from mmseg_dcpclip.models.structures import (
    CLIPFeatures,
    Pairs,
    TextEmbeddings,
    first_equal,
    per_pair,
)


def plain_selection(patch, cls, text, tau, theta, union=False):
    """Eq. 1-5 with loops, in float64."""
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (patch, cls, text)]
    patch, cls, text = unit
    selected = np.zeros((len(patch), len(text)), bool)
    scores = np.zeros((len(patch), len(text), patch.shape[1]))
    image_scores = np.zeros_like(selected, dtype=float)
    for b in range(len(patch)):
        logits = tau * text @ cls[b]
        weight = np.exp(logits - logits.max())
        image_scores[b] = weight / weight.sum()
        for n in range(patch.shape[1]):
            plain = text @ patch[b, n]
            scores[b, :, n] = plain - image_scores[b] * plain
            selected[b, scores[b, :, n].argmax()] = True
            if union:
                selected[b, plain.argmax()] = True
        selected[b] |= image_scores[b] > theta
    return selected, scores, image_scores


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    # Cosines near each other and a dominant category, as CLIP has them.
    common = rng.normal(size=16)
    text = 3 * common + rng.normal(size=(40, 16))
    patch = 2 * common + rng.normal(size=(3, 12, 16))
    return patch, patch.mean(1) + 0.3 * text[:3], text


@pytest.mark.parametrize('theta', [0.02, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize('form', ['paper', 'union'])
def test_equals_the_plain_formula(inputs, theta, form):
    expected, scores, image_scores = plain_selection(*inputs, 30.0, theta,
                                                     form == 'union')
    result = select_categories(*map(torch.tensor, inputs), logit_scale=30.0,
                               theta=theta, return_scores=True, form=form)
    assert np.array_equal(result.selected.numpy(), expected)
    assert result.patch_scores.shape == (3, 40, 12)
    np.testing.assert_allclose(result.patch_scores, scores, atol=1e-5)
    np.testing.assert_allclose(result.image_scores, image_scores, atol=1e-5)


def test_scores_only_when_asked(inputs):
    result = select_categories(*map(torch.tensor, inputs), logit_scale=30., theta=0.5)
    assert result.patch_scores is None and result.image_scores is None


def test_theta_zero_selects_all_despite_underflow():
    text = torch.eye(4)
    result = select_categories(text[None, :1], text[:1], text, logit_scale=1000.0,
                               theta=0, return_scores=True)
    assert (result.image_scores == 0).any()  # "> 0" would lose these
    assert result.selected.all()


def test_union_closes_the_dead_zone():
    # Category 0 wins every patch by a hair and has an image score of about 0.6: the
    # refined score gives its patches to category 1, and theta is out of reach.
    text = torch.tensor([[1.0, 0.0, 0.0], [0.98, 0.2, 0.0], [0.0, 0.0, 1.0]])
    patch = text[None, :1].repeat(1, 5, 1)
    kwargs = dict(logit_scale=20.0, theta=0.9)
    paper = select_categories(patch, text[:1], text, **kwargs).selected[0]
    union = select_categories(patch, text[:1], text, form='union', **kwargs).selected[0]
    assert paper.tolist() == [False, True, False]
    assert union.tolist() == [True, True, False]


def test_chunks_change_nothing(inputs):
    tensors = [torch.tensor(x) for x in inputs]
    tensors[2] = torch.cat([tensors[2], tensors[2]])  # ties: the lower id wins
    whole = select_categories(*tensors, logit_scale=30.0, theta=0.9).selected
    chunked = select_categories(*tensors, logit_scale=30.0, theta=0.9, block=7,
                                max_scores=7 * 3 * 12).selected
    assert torch.equal(whole, chunked)
    assert not chunked[:, 40:].any()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.float64])
def test_first_equal(dtype):
    rows = torch.randn(50, 16).to(dtype)
    rows[20], rows[40], rows[41] = rows[3], rows[3], rows[39]
    expected = [next(j for j in range(i + 1) if torch.equal(rows[j], rows[i]))
                for i in range(50)]
    assert expected[40] == 3 and expected[41] == 39
    for elements in (1, 100, 10**6):
        assert first_equal(rows, elements).tolist() == expected
    # a sign that a sum alone could not tell
    assert first_equal(torch.tensor([[1.0, 2.0], [2.0, 1.0]])).tolist() == [0, 1]


@pytest.mark.parametrize('change, message', [
    (dict(theta=1.5), 'theta'), (dict(theta=-0.1), 'theta'),
    (dict(form='best'), 'form'), (dict(text=torch.zeros(0, 16)), 'C > 0'),
    (dict(cls=torch.zeros(3, 5)), r'\[B, D\]')])
def test_bad_input(inputs, change, message):
    kwargs = dict(zip(('patch', 'cls', 'text'), map(torch.tensor, inputs), strict=True),
                  logit_scale=30.0, theta=0.5)
    kwargs.update(change)
    with pytest.raises(ValueError, match=message):
        select_categories(**kwargs)


def test_max_categories_keeps_the_best_image_scores(inputs):
    patch, cls, text = (torch.tensor(x).float() for x in inputs)
    features = CLIPFeatures(cls, patch, (3, 4))
    words = TextEmbeddings(text[:, None], text)
    free = DynamicCategorySelection(theta=0.5)(features, words, 30.0)
    cut = DynamicCategorySelection(theta=0.5, max_categories=3)(features, words, 30.0)
    assert free.sum(1).max() > 3
    assert cut.sum(1).max() == 3 and not (cut & ~free).any()
    scores = select_categories(patch, cls, text, logit_scale=30.0, theta=0.5,
                               return_scores=True).image_scores
    for b in range(3):
        if free[b].sum() > 3:
            assert scores[b][cut[b]].min() >= scores[b][free[b] & ~cut[b]].max()


def test_pairs_are_flat_and_in_order():
    pairs = Pairs.from_mask(torch.tensor([[0, 1, 1], [1, 0, 0]]).bool())
    assert pairs.image.tolist() == [0, 0, 1]
    assert pairs.category.tolist() == [1, 2, 0]
    assert pairs.counts == [2, 1] and len(pairs) == 3


@pytest.mark.parametrize('most, mixed, expected', [
    (1, True, [[0], [1], [2], [0], [0], [1]]),
    (2, True, [[0, 1], [2, 0], [0, 1]]),
    (2, False, [[0, 1], [2], [0], [0, 1]]),
    (3, True, [[0, 1, 2], [0, 0, 1]]),
    (3, False, [[0, 1, 2], [0], [0, 1]]),
    (99, True, [[0, 1, 2, 0, 0, 1]])])
def test_pairs_are_split_along_images(most, mixed, expected):
    image = torch.tensor([0, 0, 0, 2, 3, 3])  # the second one has none
    pairs = Pairs(image, torch.tensor([0, 1, 2, 0, 0, 1]), [3, 0, 1, 2])
    parts = list(pairs.split(most, mixed))
    assert [part.category.tolist() for _, part in parts] == expected
    assert torch.equal(torch.cat([part.image + images.start for images, part in parts]),
                       image)
    for images, part in parts:
        length = images.stop - images.start
        assert torch.bincount(part.image, minlength=length).tolist() == part.counts


def test_per_pair_repeats_nothing_for_one_image():
    x, image = torch.randn(2, 3), torch.tensor([0, 1, 1])
    assert torch.equal(per_pair(x, image), x[image])
    one = per_pair(x[:1], image * 0)
    assert one.shape == (3, 3) and one.data_ptr() == x.data_ptr()


def test_hundred_thousand_words_within_a_budget():
    """Against one product of everything, words in half precision as the bank has them.
    """
    torch.manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(100_000, 32), dim=-1).half()
    patch, cls = torch.randn(1, 49, 32), torch.randn(1, 32)
    with torch.profiler.profile(profile_memory=True) as profile:
        selected = select_categories(patch, cls, text, logit_scale=30.0,
                                     theta=0.5).selected[0]
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 100_000 * 49 * 4 / 2
    unit = torch.nn.functional.normalize(text.double(), dim=-1)
    patch, cls = (torch.nn.functional.normalize(x[0].double(), dim=-1)
                  for x in (patch, cls))
    image = (30 * unit @ cls).softmax(0)
    expected = torch.zeros_like(selected)
    expected[((patch @ unit.T) * (1 - image)).argmax(1)] = True
    assert torch.equal(selected, expected | (image > 0.5))
