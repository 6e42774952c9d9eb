"""The best words of patches among very many, most of them ruled out by whole numbers.

All products of patches and words are taken in 8 bits, four times as fast on processors
that can. The inequality of Cauchy and Schwarz bounds what the rounding of both sides
can hide, so that only the few words are compared exactly that may still win.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..coarse import LARGEST, CoarseWords, to_codes
from ..tracing import fixed, recording

MIN_WORDS = 2**13  # with fewer the plain product is as fast
MIN_PATCHES = 64
SEEDS = 256  # words of each image that are compared exactly in any case
BLOCK = 16  # words whose bounds are looked at together
AT_ONCE = 2**20  # scores of patches and words held at once
MOST_PAIRS = 1 / 500  # of all pairs of patches and words; with more it does not pay
NEVER = -2**30  # a bound that nothing exceeds


def prunable(patch: Tensor, text: Tensor) -> bool:
    """Whether words are worth ruling out, and the processor can.

    Args:
        patch: [B, N, D].
        text: [C, D].
    """
    return (not recording() and not torch.jit.is_tracing()
            and fixed(*patch.shape, *text.shape)
            and patch.device.type == text.device.type == 'cpu'
            and text.shape[0] >= MIN_WORDS
            and patch.shape[0] * patch.shape[1] >= MIN_PATCHES and has_fast_int8())


@lru_cache(maxsize=1)
def has_fast_int8() -> bool:
    """Whether this processor multiplies int8 fast, and torch lets it (VNNI)."""
    asked = (getattr(torch.cpu, '_is_vnni_supported', None)
             or getattr(torch.cpu, '_is_cpu_support_vnni', None))
    if asked is None or not asked() or not torch.backends.mkldnn.is_available():
        return False
    x = torch.full((32, 64), LARGEST, dtype=torch.int8)
    try:  # not every torch has it for the CPU
        product = torch._int_mm(x, -x.T.contiguous())
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return bool((product == -64 * LARGEST**2).all())


@torch.no_grad()
def pruned_best(patch: Tensor, text: Tensor, weights: Sequence[Tensor],
                coarse: CoarseWords, repeated: Tensor, seeds: Tensor,
                max_scores: int = AT_ONCE) -> list[Tensor] | None:
    """As ``best_of_patches``, with most words ruled out.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        weights: Factors on the product of each category, each [B, C], from 0 to
            ``1 / coarse.lengths``.
        coarse: Of ``text``.
        repeated: Words that are equal to an earlier one and take no part, bool [C].
        seeds: Words that are likely to win, such as those with the highest image
            scores, int64 [B, K].
        max_scores: Scores held at once; changes no result.

    Returns:
        list[Tensor] | None: For each of the weights int64 [B, N]. None where too few
        words are ruled out: then the plain product is faster.
    """
    found = _contenders(patch, text, weights, coarse, repeated, seeds, 1, max_scores)
    if found is None:
        return None
    place, word, product = found
    image = place // patch.shape[1]
    shape = patch.shape[:2]
    return [_top(place, word, product * weight[image, word], shape, 1)[0][..., 0]
            for weight in weights]


@torch.no_grad()
def pruned_top(patch: Tensor, text: Tensor, left_out: Tensor, most: int,
               coarse: CoarseWords, max_scores: int = AT_ONCE
               ) -> tuple[Tensor, Tensor] | None:
    """As ``top_of_patches``, with most words ruled out.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        left_out: Categories that take no part, bool [C].
        most: How many of each patch.
        coarse: Of ``text``.
        max_scores: Scores held at once; changes no result.

    Returns:
        tuple | None: As there. None where too few words are ruled out.
    """
    weight = (1 / coarse.lengths).expand(patch.shape[0], -1)
    seeds = left_out.new_empty(patch.shape[0], 0, dtype=torch.long)
    found = _contenders(patch, text, [weight], coarse, left_out, seeds, most,
                        max_scores)
    if found is None:
        return None
    place, word, product = found
    return _top(place, word, product * weight[0, word], patch.shape[:2], most)


def _contenders(patch: Tensor, text: Tensor, weights: Sequence[Tensor],
                coarse: CoarseWords, left_out: Tensor, seeds: Tensor, most: int,
                max_scores: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """All pairs of patches and words that may be among the best ``most`` of a patch.

    Args, raises: As of the functions above.

    Returns:
        tuple | None: The patch (of all images'), the word and their product, each [n].
        None where these are too many, or a patch is like no word (a score of 0 or less
        bounds nothing).
    """
    images, patches, dims = patch.shape
    flat = patch.reshape(-1, dims)
    image = torch.arange(images).repeat_interleave(patches)
    seeds = seeds.unique()
    least = flat.new_full((len(flat), most), -torch.inf)  # of exact scores found so far
    limit = MOST_PAIRS * len(flat) * len(text)

    def raise_least(word: Tensor, product: Tensor, counts: Tensor) -> None:
        """By the exact scores of words [places, n] that were not looked at before."""
        scores = [product * weight[image[:, None], word] for weight in weights]
        score = torch.stack(scores).amin(0).masked_fill(~counts, -torch.inf)
        least.copy_(torch.cat([least, score], 1).topk(most, 1).values)

    products = flat @ text[seeds].float().T
    if len(seeds):
        raise_least(seeds.expand_as(products), products, ~left_out[seeds].expand_as(
            products))
    bounds = _Bounds(flat, text, coarse, left_out.index_fill(0, seeds, True), max_scores)
    found, count = [], 0
    for step, (start, part) in enumerate(bounds):
        blocks = part.unflatten(0, (-1, BLOCK))
        highest = blocks.amax(1)
        last = start + len(part) >= len(text)
        if last or step & (step + 1) == 0:  # 0, 1, 3, 7, ...: it rises slower and slower
            block = highest.topk(min(most, len(highest)), 0).indices.T
            inside = blocks.transpose(1, 2)[block, torch.arange(len(flat))[:, None]]
            inside = inside.max(-1)
            word = (block * BLOCK + inside.indices + start).clamp(max=len(text) - 1)
            own = (flat[:, None] * text[word].float()).sum(-1)
            raise_least(word, own, inside.values > NEVER // 2)
            if not bool((least[:, -1] > 0).all()):
                return None
        threshold = bounds.threshold(least[:, -1])
        block, place = (highest >= threshold).nonzero().unbind(1)
        inside = blocks[block, :, place]
        row, column = (inside >= threshold[place, None]).nonzero().unbind(1)
        found.append(torch.stack([place[row], block[row] * BLOCK + column + start,
                                  inside[row, column]]))
        count += len(row)
        if count > limit:
            return None
    place, word, bound = torch.cat(found, 1).unbind()
    kept = bound >= bounds.threshold(least[:, -1])[place]
    score = torch.stack([products * weight[image][:, seeds] for weight in weights])
    score = score.amax(0).masked_fill(left_out[seeds], -torch.inf)
    row, column = (score >= least[:, -1:] - bounds.margin).nonzero().unbind(1)
    place = torch.cat([place[kept], row])
    word = torch.cat([word[kept], seeds[column]])
    if len(place) > limit / 4:
        return None
    return place, word, torch.cat([
        (flat[p] * text[w].float()).sum(-1)
        for p, w in zip(place.split(2**12), word.split(2**12))])


class _Bounds:
    """Bounds on the scores of patches and words, as whole numbers.

    With p a patch, m the patches' mean and s the codes per unit of ``p - m``, a score
    is ``m w + (p - m) center + (p - m) (w - center)``. The last product is that of
    the codes but for the rounding of the word, at most ``|p - m|`` times the length of
    its error, and that of the patch, at most its length times the code's.

    Iterating gives the number of the first word and int32 [c, P], c a multiple of
    ``BLOCK``; what fills up and what is left out lies below ``NEVER / 2``.

    Args:
        flat: Unit features of P patches, [P, D].
        text: Embeddings, [C, D].
        coarse: Of ``text``.
        left_out: Words without a bound, bool [C].
        max_scores: Bounds held at once.

    Attributes:
        margin: More than float32 can get wrong in a score.
    """

    def __init__(self, flat: Tensor, text: Tensor, coarse: CoarseWords,
                 left_out: Tensor, max_scores: int) -> None:
        self.text, self.coarse, self.left_out = text, coarse, left_out
        dims = flat.shape[1]
        self.chunk = max(BLOCK, max_scores // len(flat) // BLOCK * BLOCK)
        self.margin = 4 * dims * 2**-24
        self.mean = flat.mean(0)
        rest = flat - self.mean
        # Bounds of words stay within 30 bits, whatever the scales.
        step = max(float(rest.abs().max()) / LARGEST, coarse.scale * 2**-27)
        codes = (rest / step).round_()
        self.codes = codes.to(torch.int8).T.contiguous()
        self.unit = step / coarse.scale
        self.longest = float(torch.linalg.vector_norm(rest, dim=1).max())
        missed = torch.linalg.vector_norm(rest - codes * step, dim=1)
        self.of_patch = rest @ coarse.center + missed * coarse.reach + self.margin

    def threshold(self, score: Tensor) -> Tensor:
        """The least bound of words that may reach a score, int32 [P]."""
        return ((score - self.of_patch) / self.unit).floor().clamp(
            NEVER // 2, -NEVER).int()

    def __iter__(self):
        coarse = self.coarse
        shift = float(self.mean @ coarse.center)
        for start in range(0, len(self.text), self.chunk):
            part = coarse.scaled(self.text[start:start + self.chunk], start)
            stop = start + len(part)
            of_word = ((part @ self.mean) / coarse.scale + shift
                       + self.longest * coarse.errors[start:stop])
            of_word = (of_word / self.unit).ceil().int().masked_fill_(
                self.left_out[start:stop], NEVER)
            missing = -len(part) % BLOCK
            if missing:
                part = torch.nn.functional.pad(part, (0, 0, 0, missing))
                of_word = torch.nn.functional.pad(of_word, (0, missing), value=NEVER)
            yield start, torch._int_mm(to_codes(part), self.codes).add_(
                of_word[:, None])


def _top(place: Tensor, word: Tensor, score: Tensor, shape: torch.Size, most: int
         ) -> tuple[Tensor, Tensor]:
    """The words with the highest scores of each place, best first.

    Of equal scores the lowest id comes first.

    Args:
        place: [n], in flat order.
        word: [n].
        score: [n].
        shape: B and N.
        most: How many.

    Returns:
        tuple: Ids, int64 [B, N, most], and whether there were so many, bool.
    """
    places = shape[0] * shape[1]
    none = int(word.max()) + 1
    ids = []
    for _ in range(most):
        best = score.new_full((places, ), -torch.inf).scatter_reduce(
            0, place, score, 'amax')
        equal = (score == best[place]) & (score > -torch.inf)
        own = torch.full((places, ), none).scatter_reduce(
            0, place[equal], word[equal], 'amin')
        ids.append(own)
        score = score.masked_fill(word == own[place], -torch.inf)
    found = torch.stack(ids, 1).view(*shape, most)
    there = found < none
    return found.masked_fill(~there, 0), there
