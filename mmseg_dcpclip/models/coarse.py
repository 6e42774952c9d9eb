"""Words as whole numbers of 8 bits, with a bound on what that leaves out."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST = 127  # of a code
CLIPS = (3.5, 4.0, 5.0, 6.0, 8.0, 12.0)  # largest code, in standard deviations
SAMPLE = 1024  # words that the scale is chosen on
BLOCK = 1024  # words coded at once


@dataclass(frozen=True)
class CoarseWords:
    """What the codes of a vocabulary are made with; they are not kept.

    With w a word's unit embedding, its code q is ``(w - center) * scale`` rounded.

    Attributes:
        lengths: Of the embeddings, at least 1e-12, float32 [C].
        center: The mean of the unit embeddings, [D].
        scale: Codes per unit.
        errors: At least the length of ``w - center - q / scale`` of each word, [C].
        reach: At least the length of each ``q / scale``.
    """
    lengths: Tensor
    center: Tensor
    scale: float
    errors: Tensor
    reach: float

    @classmethod
    @torch.no_grad()
    def of(cls, text: Tensor) -> 'CoarseWords':
        """Look at the embeddings of a vocabulary, [C, D]."""
        words, dims = text.shape
        parts = text.detach().split(BLOCK)
        lengths = torch.cat([torch.linalg.vector_norm(part.float(), dim=-1)
                             for part in parts]).clamp(min=1e-12)
        center = sum(((1 / own) @ part.float() for own, part in zip(
            lengths.split(BLOCK), parts)), text.new_zeros(dims).float()) / words
        sample = F.normalize(text[::max(1, words // SAMPLE)].float(), dim=-1) - center
        spread = float(sample.square().mean().sqrt().clamp(min=1e-6))
        scales = [LARGEST / (clip * spread) for clip in CLIPS]
        missed = [(sample - _codes(sample * scale) / scale).square().sum()
                  for scale in scales]
        scale = scales[int(torch.stack(missed).argmin())]
        found = cls(lengths, center, scale, lengths, 0.0)
        errors, reach = [], text.new_zeros(()).float()
        for start, part in zip(range(0, words, BLOCK), parts):
            exact = found.scaled(part, start)
            codes = _codes(exact)
            errors.append(torch.linalg.vector_norm(exact - codes, dim=-1) / scale)
            reach = torch.maximum(
                reach, torch.linalg.vector_norm(codes, dim=-1).amax() / scale)
        # a hair more: another kernel may round a code the other way
        return cls(lengths, center, scale, torch.cat(errors) * 1.0001 + 1e-7,
                   float(reach) * 1.001 + 1e-6)

    def scaled(self, part: Tensor, start: int) -> Tensor:
        """``(w - center) * scale`` of some words.

        Args:
            part: Their embeddings, [c, D].
            start: The number of the first of them.

        Returns:
            Tensor: float32 [c, D].
        """
        factors = self.scale / self.lengths[start:start + part.shape[0], None]
        return torch.addcmul(self.center * -self.scale, part.float(), factors)


def to_codes(scaled: Tensor) -> Tensor:
    """Round to int8; what is handed in changes."""
    return _codes(scaled, out=scaled).to(torch.int8)


def _codes(scaled: Tensor, out: Tensor | None = None) -> Tensor:
    """Whole numbers as floats."""
    return torch.round(scaled, out=out).clamp_(-LARGEST, LARGEST)
