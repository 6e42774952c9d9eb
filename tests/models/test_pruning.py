"""Words ruled out in 8 bits: the same ids as the product of everything."""

import copy

import pytest
import torch
import torch.nn.functional as F

from mmseg_dcpclip.evaluation.efficiency import multiply_adds
from mmseg_dcpclip.models import CLIPFeatures, DynamicCategorySelection, TextEmbeddings
from mmseg_dcpclip.models.coarse import CoarseWords, to_codes
from mmseg_dcpclip.models.selection import bounds, pruning
from mmseg_dcpclip.models.selection.bounds import ScoreBounds
from mmseg_dcpclip.models.selection.pruning import (
    likely_words,
    prunable,
    pruned_best,
    pruned_top,
)

WORDS, DIMS, PATCHES = 9000, 32, 80


@pytest.fixture(autouse=True)
def whole_numbers(monkeypatch):
    """Where the processor or torch has no fast products of int8 slow ones stand in."""
    if not bounds.has_fast_int8():
        monkeypatch.setattr(torch, '_int_mm', lambda a, b: a.int() @ b.int(),
                            raising=False)
        monkeypatch.setattr(pruning, 'has_fast_int8', lambda: True)
    monkeypatch.setattr(pruning, 'MIN_PATCHES', PATCHES)
    monkeypatch.setattr(pruning, 'MOST_PAIRS', 1)  # however many survive


def make_words(kind: str, generator: torch.Generator) -> torch.Tensor:
    """Embeddings [C, D] of several distributions, of any length."""
    words = torch.randn(WORDS, DIMS, generator=generator)
    if kind == 'decaying':  # as a text tower's: a common direction, few strong axes
        words = 2 * words[:1] + words / torch.arange(1, DIMS + 1)**0.5
    elif kind == 'clustered':
        words = words[torch.arange(WORDS) % 300] + 0.05 * words
    elif kind == 'repeated':
        words[4000:6000] = words[:2000]
        words[7000:7100] = words[5]
    elif kind == 'zeros':
        words[torch.arange(0, WORDS, 7)] = 0
    elif kind == 'outliers':
        words[100, 3], words[:, 5] = 1000., 20.
    return words


def make_view(words: torch.Tensor, generator: torch.Generator, images: int = 2):
    """Unit patches [B, N, D] near some words, and [CLS] tokens [B, D] near one."""
    unit = F.normalize(words, dim=-1)
    own = torch.randint(0, 40, (images, PATCHES), generator=generator) * 201
    noise = torch.randn(images, PATCHES, DIMS, generator=generator)
    patch = unit[own] + 0.6 * F.normalize(noise, dim=-1)
    cls = patch.mean(1) + 3 * unit[201]
    return F.normalize(patch, dim=-1), F.normalize(cls, dim=-1)


def first_rows(words: torch.Tensor) -> torch.Tensor:
    """Of each word the first that is equal, by itself."""
    return TextEmbeddings(words[:, None], words).first_equal()


KINDS = ['isotropic', 'decaying', 'clustered', 'repeated', 'zeros', 'outliers']


@pytest.mark.parametrize('kind', KINDS)
def test_the_best_are_those_of_all_scores_in_float64(kind):
    generator = torch.Generator().manual_seed(3)
    words = make_words(kind, generator)
    patch, cls = make_view(words, generator)
    unit = F.normalize(words.double(), dim=-1)
    logits = 400 * cls.double() @ unit.T
    image_scores = logits.softmax(-1)
    assert image_scores.max() > 0.02  # the weights decide something
    first = first_rows(words)
    repeated = first != torch.arange(WORDS)
    coarse = CoarseWords.of(words)
    weights = [((1 - image_scores) / coarse.lengths).float(),
               (1 / coarse.lengths).expand(2, -1)]
    cosine = patch.double() @ unit.T
    results = [pruned_best(patch, words, weights, coarse, repeated,
                           likely_words(logits), size) for size in (2**20, 2**14)]
    for found, chunked, factor in zip(*results, ((1 - image_scores)[:, None], 1)):
        assert torch.equal(found, chunked)
        expected = (cosine * factor).masked_fill(repeated, -torch.inf).max(-1)
        reached = (cosine * factor).gather(-1, found[..., None]).squeeze(-1)
        torch.testing.assert_close(reached, expected.values, rtol=0, atol=1e-6)
        assert (found == expected.indices).float().mean() > 0.99  # but for near ties
        assert not repeated[found].any()

    ids, there = pruned_top(patch, words, repeated, 3, coarse)
    expected = cosine.masked_fill(repeated, -torch.inf).topk(3).values
    torch.testing.assert_close(cosine.gather(-1, ids), expected, rtol=0, atol=1e-6)
    assert there.all() and (ids.sort(-1).values.diff() > 0).all()


@pytest.mark.parametrize('form', ['paper', 'union', 'votes'])
@pytest.mark.parametrize('kind', KINDS)
def test_the_selection_is_that_of_the_plain_product(form, kind, monkeypatch):
    """In a batch, one by one, and with the fallback."""
    generator = torch.Generator().manual_seed(4)
    words = make_words(kind, generator)
    patch, cls = make_view(words, generator, 3)
    features = CLIPFeatures(cls, patch, (8, 10))
    text = TextEmbeddings(words[:, None], words)
    pruning_one = DynamicCategorySelection(form=form, num_kept=8)
    plain_one = DynamicCategorySelection(form=form, num_kept=8, prune=False)
    expected = plain_one(features, text, 100.0)
    assert text.coarse is None and expected.any(1).all()

    ruled_out = []
    for place in ('paper.pruned_best', 'votes.pruned_top'):
        own = getattr(pruning, place.partition('.')[2])
        monkeypatch.setattr(
            f'mmseg_dcpclip.models.selection.{place}',
            lambda *args, own=own: ruled_out.append(own(*args)) or ruled_out[-1])
    assert torch.equal(pruning_one(features, text, 100.0), expected)
    for i in range(3):
        assert torch.equal(pruning_one(features[i:i + 1], text, 100.0)[0], expected[i])
    assert len(ruled_out) == 4 and None not in ruled_out

    monkeypatch.setattr(pruning, 'MOST_PAIRS', 1e-5)
    assert torch.equal(pruning_one(features, text, 100.0), expected)
    assert ruled_out[-1] is None


def test_bounds_hold():
    """No score exceeds its bound, and few bounds exceed the best score."""
    generator = torch.Generator().manual_seed(5)
    for kind in KINDS:
        words = make_words(kind, generator)
        patch = make_view(words, generator, 1)[0][0]
        left_out = torch.arange(WORDS) % 10 == 3
        coarse = CoarseWords.of(words)
        found = ScoreBounds(patch, words, coarse, left_out, 2**16)
        score = F.normalize(words.double(), dim=-1) @ patch.double().T
        parts = list(found)
        assert all(len(part) % bounds.BLOCK == 0 for _, part in parts)
        bound = torch.cat([part[:WORDS - start] for start, part in parts])
        reaches = found.threshold(score.float() + 1e-6)  # of each pair its own score
        assert (bound >= reaches)[~left_out].all()
        assert (bound[left_out] < bounds.NEVER // 2).all()
        above = bound >= found.threshold(score[~left_out].amax(0).float())
        assert above.sum(0).float().mean() < WORDS / 100, kind


def test_codes_miss_no_more_than_they_say():
    generator = torch.Generator().manual_seed(6)
    for kind in KINDS:
        words = make_words(kind, generator)
        coarse = CoarseWords.of(words.half().float())
        rows = slice(200, 700)
        scaled = coarse.scaled(words.half()[rows], 200)  # as a bank may keep them
        codes = to_codes(scaled.clone())
        exact = (words.half().double() / coarse.lengths[:, None])[rows] - coarse.center
        missed = (exact - codes.double() / coarse.scale).norm(dim=1)
        assert (missed <= coarse.errors[rows]).all()
        assert (codes.double().norm(dim=1) / coarse.scale <= coarse.reach).all()


def test_a_patch_like_no_word_takes_the_plain_product():
    """A weight below 1 raises a negative score: the bounds say nothing of it."""
    generator = torch.Generator().manual_seed(7)
    words = make_words('isotropic', generator).abs()
    patch, cls = make_view(words, generator, 1)
    for odd in (-words.mean(0), words.mean(0) * torch.nan, words.mean(0) * 0):
        patch[0, 7] = odd
        features = CLIPFeatures(cls, patch, (8, 10))
        text = TextEmbeddings(words[:, None], words)
        coarse = text.coarse_words()
        assert pruned_best(
            patch, words, [1 / coarse.lengths[None]], coarse, torch.zeros(
                WORDS, dtype=torch.bool), torch.tensor([0])) is None
        assert torch.equal(*(DynamicCategorySelection(prune=prune)(
            features, text, 100.0) for prune in (True, False)))


def test_few_words_or_patches_and_other_devices_are_not_worth_it():
    patch, text = torch.empty(1, PATCHES, 4), torch.empty(WORDS, 4)
    assert prunable(patch, text)
    assert not prunable(patch[:, 1:], text)
    assert not prunable(patch, text[:100])
    assert not prunable(patch, text[:1])
    assert not prunable(patch.to('meta'), text.to('meta'))


def test_multiply_adds_in_8_bits_count():
    a = torch.zeros(32, 64, dtype=torch.int8)
    if bounds.has_fast_int8():
        assert multiply_adds(lambda: torch._int_mm(a, a.T)) == 32 * 64 * 32


def test_words_that_change_get_codes_of_their_own():
    """What is kept belongs to one vocabulary."""
    words = torch.randn(50, 8)
    text = TextEmbeddings(words[:, None], words)
    assert text.coarse_words() is text.coarse_words()
    other = copy.copy(text)
    other.coarse = None
    other.mean = words + 1
    assert not torch.equal(other.coarse_words().center, text.coarse_words().center)
