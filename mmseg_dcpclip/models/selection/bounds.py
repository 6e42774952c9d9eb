"""Bounds on the scores of patches and words, from products in 8 bits."""

from collections.abc import Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..coarse import LARGEST, CoarseWords, to_codes

BLOCK = 16  # words whose bounds are looked at together
NEVER = -2**30  # the bound of a word that takes no part


@lru_cache(maxsize=1)
def has_fast_int8() -> bool:
    """Whether this processor multiplies int8 fast (VNNI), and torch lets it."""
    asked = (getattr(torch.cpu, '_is_vnni_supported', None)
             or getattr(torch.cpu, '_is_cpu_support_vnni', None))  # torch < 2.4
    if asked is None or not asked() or not torch.backends.mkldnn.is_available():
        return False
    x = torch.full((32, 64), LARGEST, dtype=torch.int8)
    try:
        product = torch._int_mm(x, -x.T.contiguous())
    except (AttributeError, RuntimeError):  # not for the CPU in torch 2.1
        return False
    return bool((product == -64 * LARGEST**2).all())  # nothing is cut off


class ScoreBounds:
    """Upper bounds on the scores of all patches and words, some words at a time.

    With p a patch, m the mean of all, w a word's unit embedding and c the words' mean,
    the score ``p w`` is ``m w + (p - m) c + (p - m) (w - c)``. The last product is
    that of the codes of both, but for what their rounding leaves out: of the word at
    most its length times that of ``p - m``, of the patch at most its length times that
    of the word's code (Cauchy and Schwarz). Bounds are counted in units of the codes'
    product, so that the greatest is found among whole numbers.

    Iterating gives the number of the first word and int32 [c, P], c a multiple of
    ``BLOCK``; what fills up and what is left out lies below ``NEVER / 2``.

    Args:
        patch: Unit features, [P, D].
        text: Embeddings, [C, D].
        coarse: Of ``text``.
        left_out: Words that take no part, bool [C].
        max_scores: Bounds held at once.

    Attributes:
        margin: More than rounding to float32 can change a score.
    """

    def __init__(self, patch: Tensor, text: Tensor, coarse: CoarseWords,
                 left_out: Tensor, max_scores: int) -> None:
        self.text, self.coarse, self.left_out = text, coarse, left_out
        self.chunk = max(BLOCK, max_scores // len(patch) // BLOCK * BLOCK)
        self.margin = 4 * patch.shape[1] * 2**-24
        self.mean = patch.mean(0)
        rest = patch - self.mean
        # Bounds of words fit into 30 bits, however alike patches or words are.
        step = max(float(rest.abs().amax()) / LARGEST, coarse.scale * 2**-27)
        codes = (rest / step).round_()
        missed = torch.linalg.vector_norm(rest - codes * step, dim=1)
        self.codes = codes.to(torch.int8).T.contiguous()
        self.unit = step / coarse.scale
        self.of_patch = rest @ coarse.center + missed * coarse.reach + self.margin
        self.of_word = (torch.linalg.vector_norm(rest, dim=1).amax() * coarse.errors
                        + self.mean @ coarse.center)

    def threshold(self, score: Tensor) -> Tensor:
        """The least bound of a word that may reach a score of each patch, int32 [P]."""
        least = ((score - self.of_patch) / self.unit).floor()
        return least.clamp(NEVER // 2, -NEVER).int()

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        for start in range(0, len(self.text), self.chunk):
            part = self.coarse.scaled(self.text[start:start + self.chunk], start)
            words = slice(start, start + len(part))
            own = part @ self.mean / self.coarse.scale + self.of_word[words]
            own = (own / self.unit).ceil().int().masked_fill_(
                self.left_out[words], NEVER)
            missing = -len(part) % BLOCK
            if missing:
                part = F.pad(part, (0, 0, 0, missing))
                own = F.pad(own, (0, missing), value=NEVER)
            yield start, torch._int_mm(to_codes(part), self.codes).add_(own[:, None])
