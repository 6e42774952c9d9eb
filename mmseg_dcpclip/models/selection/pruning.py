"""The best of very many words for each patch, most of them ruled out in 8 bits.

The products of all patches and words are taken in whole numbers of 8 bits, which some
processors multiply four times as fast, and only the words whose bounds say that they
may still win are compared in float32. Results are those of the plain product.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..coarse import CoarseWords
from ..tracing import fixed, recording
from .bounds import BLOCK, NEVER, ScoreBounds, has_fast_int8

MIN_WORDS = 2**13  # with less of either the plain product is as fast
MIN_PATCHES = 128
SEEDS = 256  # words that are compared in any case
MAX_BOUNDS = 2**20  # held at once
MOST_PAIRS = 1 / 500  # of patches and words that may be left to compare


def prunable(patch: Tensor, text: Tensor) -> bool:
    """Whether ruling out words pays, and the processor can.

    Args:
        patch: [B, N, D].
        text: [C, D].
    """
    return (not recording() and not torch.jit.is_tracing()
            and fixed(*patch.shape, *text.shape)
            and patch.device.type == text.device.type == 'cpu'
            and text.shape[0] >= MIN_WORDS
            and patch.shape[0] * patch.shape[1] >= MIN_PATCHES and has_fast_int8())


def likely_words(scores: Tensor) -> Tensor:
    """Words that are compared in any case: those with the highest image scores.

    Args:
        scores: Of images and words, [B, C].

    Returns:
        Tensor: Ids, int64 [K].
    """
    each = max(1, SEEDS // scores.shape[0])
    return scores.topk(min(each, scores.shape[1]), 1).indices.unique()


@torch.no_grad()
def pruned_best(patch: Tensor, text: Tensor, weights: Sequence[Tensor],
                coarse: CoarseWords, left_out: Tensor, likely: Tensor,
                max_bounds: int = MAX_BOUNDS) -> list[Tensor] | None:
    """As ``best_of_patches``, with most words ruled out.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        weights: Factors on the product of each word, each [B, C], from 0 to
            ``1 / coarse.lengths``.
        coarse: Of ``text``.
        left_out: Words that take no part, bool [C].
        likely: Words that are compared in any case, int64 [K].
        max_bounds: Held at once; changes no result.

    Returns:
        list[Tensor] | None: For each of the weights, int64 [B, N]. None where too few
        words are ruled out: the plain product is faster then.
    """
    found = _contenders(patch, text, weights, coarse, left_out, likely, 1, max_bounds)
    if found is None:
        return None
    place, word, product = found
    image = place // patch.shape[1]
    shape = (*patch.shape[:2], len(text))
    return [_top(place, word, product * weight[image, word], shape, 1)[0].squeeze(-1)
            for weight in weights]


@torch.no_grad()
def pruned_top(patch: Tensor, text: Tensor, left_out: Tensor, most: int,
               coarse: CoarseWords, max_bounds: int = MAX_BOUNDS
               ) -> tuple[Tensor, Tensor] | None:
    """As ``top_of_patches``, with most words ruled out.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        left_out: Categories that take no part, bool [C].
        most: How many.
        coarse: Of ``text``.
        max_bounds: Held at once; changes no result.

    Returns:
        tuple | None: As there; None where too few words are ruled out.
    """
    weight = (1 / coarse.lengths).expand(patch.shape[0], -1)
    likely = left_out.new_empty(0, dtype=torch.long)
    found = _contenders(patch, text, [weight], coarse, left_out, likely, most,
                        max_bounds)
    if found is None:
        return None
    place, word, product = found
    return _top(place, word, product * weight[0, word],
                (*patch.shape[:2], len(text)), most)


def _contenders(patch: Tensor, text: Tensor, weights: Sequence[Tensor],
                coarse: CoarseWords, left_out: Tensor, likely: Tensor, most: int,
                max_bounds: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """The words that may be among the best ``most`` of a patch.

    Args: As of the functions above.

    Returns:
        tuple | None: Pairs of a patch (of all images) and a word, and their product,
        each [n]. None where there are too many, or where a patch is like no word: a
        weight below 1 raises a score below 0, which the bounds do not know.
    """
    flat = patch.flatten(0, 1)
    image = torch.arange(len(patch)).repeat_interleave(patch.shape[1])
    limit = MOST_PAIRS * len(flat) * len(text)

    def scores_of(words: Tensor) -> Tensor:
        """The lowest score of some words of each patch, [P, n]."""
        product = (flat[:, None] * text[words].float()).sum(-1)
        return torch.stack([product * weight[image[:, None], words]
                            for weight in weights]).amin(0)

    product = flat @ text[likely].float().T
    scores = torch.stack([product * weight[:, likely][image] for weight in weights])
    scores = scores.masked_fill(left_out[likely], -torch.inf)
    # The scores that the best words reach at least: they rise on the way.
    reached = _best(flat.new_full((len(flat), most), -torch.inf), scores.amin(0))
    bounds = ScoreBounds(flat, text, coarse, left_out.index_fill(0, likely, True),
                         max_bounds)
    pairs, count = [], 0
    for step, (start, part) in enumerate(bounds):
        blocks = part.unflatten(0, (-1, BLOCK))
        highest = blocks.amax(1)
        if step & (step + 1) == 0:  # 0, 1, 3, 7, ...: rarer, since they rise slower
            words, there = _words_of(blocks, highest, most)
            words = (words + start).clamp(max=len(text) - 1)
            reached = _best(reached, scores_of(words).masked_fill(~there, -torch.inf))
            if not bool((reached[:, -1] > 0).all()):
                return None
        pairs.append(_pairs(blocks, highest, bounds.threshold(reached[:, -1]), start))
        own = len(pairs[-1][0])
        count += own
        # The first parts find more than those behind: the fourth tells what is to come.
        if count > 2 * limit + 64 * len(flat) or (
                step == 3 and own * len(text) > 2 * limit * bounds.chunk):
            return None
    place, word, bound = map(torch.cat, zip(*pairs))
    # The words with the highest bounds of all rule out most of the others.
    words, there = _top(place, word, bound.float(), (len(flat), 1, len(text)), most)
    least = scores_of(words.squeeze(1)).masked_fill(~there.squeeze(1), -torch.inf)
    least = torch.maximum(least.amin(1), reached[:, -1])
    kept = bound >= bounds.threshold(least)[place]
    row, column = (scores.amax(0) >= least[:, None] - bounds.margin).nonzero().unbind(1)
    place = torch.cat([place[kept], row])
    word = torch.cat([word[kept], likely[column]])
    if len(place) > limit:
        return None
    return place, word, torch.cat([
        (flat[p] * text[w].float()).sum(-1)
        for p, w in zip(place.split(MIN_WORDS), word.split(MIN_WORDS))])


def _best(reached: Tensor, scores: Tensor) -> Tensor:
    """The highest of the scores reached [P, most] and of other words', [P, n]."""
    return torch.cat([reached, scores], 1).topk(reached.shape[1], 1).values


def _words_of(blocks: Tensor, highest: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """A patch's words with the highest bounds, each from another block.

    Args:
        blocks: Bounds, [c, BLOCK, P].
        highest: Of each block, [c, P].
        most: How many, at most c are found.

    Returns:
        tuple: The words' numbers in all blocks, [P, n], and whether they take part.
    """
    bound, block = (x.T for x in highest.topk(min(most, len(highest)), 0))
    places = torch.arange(blocks.shape[2])[:, None]
    inside = blocks.transpose(1, 2)[block, places].argmax(-1)
    return block * BLOCK + inside, bound > NEVER // 2


def _pairs(blocks: Tensor, highest: Tensor, threshold: Tensor, start: int
           ) -> tuple[Tensor, Tensor, Tensor]:
    """Patches and words whose bounds reach the threshold.

    Args:
        blocks: Bounds, [c, BLOCK, P].
        highest: Of each block, [c, P].
        threshold: Of each patch, [P].
        start: Number of the first word.

    Returns:
        tuple: Patches, words and their bounds, each [n].
    """
    block, place = (highest >= threshold).nonzero().unbind(1)
    inside = blocks[block, :, place]
    row, column = (inside >= threshold[place, None]).nonzero().unbind(1)
    return place[row], block[row] * BLOCK + column + start, inside[row, column]


def _top(place: Tensor, word: Tensor, score: Tensor, shape: tuple[int, int, int],
         most: int) -> tuple[Tensor, Tensor]:
    """The words with the highest scores of each patch, best first.

    Of equal scores the lowest id comes first.

    Args:
        place: The patch, of all images, [n].
        word: A word, once for a patch, [n].
        score: Of both, [n].
        shape: B, N and C.
        most: How many.

    Returns:
        tuple: Ids, int64 [B, N, most], and whether there were so many, bool.
    """
    places, none = shape[0] * shape[1], shape[2]
    ids = []
    for _ in range(most):
        best = score.new_full((places, ), -torch.inf).scatter_reduce(
            0, place, score, 'amax')
        equal = (score == best[place]) & (score > -torch.inf)
        ids.append(torch.full((places, ), none).scatter_reduce(
            0, place[equal], word[equal], 'amin'))
        score = score.masked_fill(word == ids[-1][place], -torch.inf)
    found = torch.stack(ids, 1).view(*shape[:2], most)
    there = found < none
    return found.masked_fill(~there, 0), there
