"""Dynamic category selection (Sec. III-A, Eq. 1-5): which words an image needs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

SCORES = 2**21  # scores of patches and categories held at once
BLOCK = 64


@dataclass
class Selection:
    """What was selected.

    Attributes:
        selected: bool [B, C].
        image_scores: S_img of Eq. 1, [B, C], or None.
        patch_scores: The refined scores of Eq. 2, [B, C, N], or None.
    """
    selected: Tensor
    image_scores: Tensor | None = None
    patch_scores: Tensor | None = None


def select_categories(patch: Tensor, cls: Tensor, text: Tensor, *, logit_scale: float,
                      theta: float, return_scores: bool = False,
                      form: str = 'paper') -> Selection:
    """Select the categories that may be in an image (Eq. 1-5).

    A category is selected if it is the best of some patch by the refined score
    ``S_patch * (1 - S_img)`` or if its image score exceeds ``theta``. Of equal
    scores the lower id wins.

    The refined score leaves a gap: a category with an image score between about 0.05
    and ``theta`` may lose all its patches to similar ones and yet stay below the
    threshold. ``form='union'`` also takes the best of each patch by the plain score,
    which closes it.

    Args:
        patch: F_patch, [B, N, D]; need not have unit length.
        cls: F_cls, [B, D].
        text: E_t averaged over templates, [C, D].
        logit_scale: tau.
        theta: Threshold of the image score; 0 selects every category.
        return_scores: Also return both scores (memory B x C x N).
        form: ``'paper'`` or ``'union'``.

    Returns:
        Selection: ``.selected`` [B, C]; scores when asked for.

    Raises:
        ValueError: theta outside [0, 1], an unknown form, or shapes that do not fit.
    """
    if not 0 <= theta <= 1:
        raise ValueError(f'theta is a probability in [0, 1], got {theta}')
    if form not in ('paper', 'union'):
        raise ValueError(f"form must be 'paper' or 'union', got {form!r}")
    if not (patch.ndim == 3 and cls.ndim == text.ndim == 2 and len(text)
            and patch.shape[-1] == cls.shape[-1] == text.shape[-1]):
        raise ValueError('expected patch [B, N, D], cls [B, D] and text [C, D] with '
                         f'C > 0, got {tuple(patch.shape)}, {tuple(cls.shape)}, '
                         f'{tuple(text.shape)}')
    patch, cls = (F.normalize(x.float(), dim=-1) for x in (patch, cls))
    chunk = max(BLOCK, SCORES // patch[..., 0].numel() // BLOCK * BLOCK)
    logits, lengths = _image_logits(cls, text, logit_scale, chunk)
    image_scores = logits.softmax(-1)  # Eq. 1
    if theta == 0:  # The softmax underflows to 0: "> 0" would lose categories.
        selected = torch.ones_like(image_scores, dtype=torch.bool)
    else:
        selected = image_scores > theta  # Eq. 4
        weights = [(1 - image_scores) / lengths]  # Eq. 2
        if form == 'union':
            weights.append((1 / lengths).expand_as(image_scores))
        for best in _best_of_patches(patch, text, weights, chunk):  # Eq. 3
            selected.scatter_(1, best, True)  # Eq. 5
    if not return_scores:
        return Selection(selected)
    refined = patch @ F.normalize(text.float(), dim=-1).T * (1 - image_scores)[:, None]
    return Selection(selected, image_scores, refined.transpose(1, 2))


def _image_logits(cls: Tensor, text: Tensor, logit_scale: float, chunk: int
                  ) -> tuple[Tensor, Tensor]:
    """What the softmax of Eq. 1 takes, [B, C], and the embeddings' lengths, [C]."""
    logits, lengths = [], []
    for part in text.split(chunk):
        part = part.float()
        lengths.append(torch.linalg.vector_norm(part, dim=-1).clamp(min=1e-12))
        logits.append(cls @ part.T / lengths[-1])
    return logit_scale * torch.cat(logits, 1), torch.cat(lengths)


def _best_of_patches(patch: Tensor, text: Tensor, weights: Sequence[Tensor], chunk: int
                     ) -> list[Tensor]:
    """The best category of each patch.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        weights: Factors on the product of each category, each [B, C].
        chunk: Categories at once.

    Returns:
        list[Tensor]: For each of the weights, int64 [B, N].
    """
    best = [(patch.new_full(patch.shape[:2], -torch.inf),
             patch.new_zeros(patch.shape[:2], dtype=torch.long)) for _ in weights]
    for start in range(0, len(text), chunk):
        part = slice(start, start + chunk)
        product = patch @ text[part].float().T
        for i, weight in enumerate(weights):
            score, index = _first_max(product * weight[:, None, part])
            better = score > best[i][0]
            best[i] = (torch.where(better, score, best[i][0]),
                       torch.where(better, index + start, best[i][1]))
    return [index for _, index in best]


def _first_max(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum and its first place along the last dimension.

    The maxima of blocks come first: much faster on a CPU than a search with places
    over everything.
    """
    if x.shape[-1] % BLOCK:
        x = F.pad(x, (0, -x.shape[-1] % BLOCK), value=-torch.inf)
    x = x.unflatten(-1, (-1, BLOCK))
    block = x.amax(-1).argmax(-1, keepdim=True)
    inside = x.gather(-2, block[..., None].expand(*block.shape, BLOCK)).squeeze(-2)
    score, place = inside.max(-1)
    return score, block.squeeze(-1) * BLOCK + place


def categories_in(labels: Tensor, num_categories: int, ignore_index: int) -> Tensor:
    """Which categories occur in each label map.

    Args:
        labels: int64 [B, H, W].
        num_categories: C.
        ignore_index: Label that is no category.

    Returns:
        Tensor: bool [B, C].

    Raises:
        ValueError: A label is neither a category nor ``ignore_index``.
    """
    flat = labels.flatten(1)
    ignored = flat == ignore_index
    wrong = ~ignored & ((flat < 0) | (flat >= num_categories))
    if wrong.any():
        raise ValueError(
            f'the label {int(flat[wrong][0])} is neither one of the {num_categories} '
            f'categories nor ignore_index {ignore_index}: check the vocabulary and the '
            "dataset's ignore_index")
    present = flat.new_zeros(len(labels), num_categories + 1, dtype=torch.bool)
    flat = flat.masked_fill(ignored, num_categories)
    return present.scatter_(1, flat, True)[:, :num_categories]


@dataclass
class Pairs:
    """The selected categories of a batch, flat: one entry per (image, category).

    Attributes:
        image: Which image of the batch, int64 [M], ascending.
        category: Which category of the vocabulary, int64 [M], ascending per image.
        counts: Entries of each image.
    """
    image: Tensor
    category: Tensor
    counts: list[int]

    @classmethod
    def from_mask(cls, selected: Tensor) -> 'Pairs':
        """From bool [B, C]."""
        image, category = selected.nonzero(as_tuple=True)
        return cls(image, category, selected.sum(1).tolist())

    def __len__(self) -> int:
        return len(self.image)

    def split(self, most: int, mixed: bool = True
              ) -> Iterator[tuple[slice, 'Pairs']]:
        """Cut into parts of whole images, or of one image that has too many.

        Args:
            most: Pairs in a part, at least 1.
            mixed: Whether a part may hold several images.

        Yields:
            tuple: The images of a part, and its pairs, whose images count from 0.
        """
        ends = list(accumulate(self.counts))
        first = start = 0
        while start < len(self):
            while ends[first] <= start:
                first += 1
            last, stop = first, min(ends[first], start + most)
            while (mixed and stop == ends[last] and last + 1 < len(ends)
                   and ends[last + 1] - start <= most):
                last += 1
                stop = ends[last]
            images = slice(first, last + 1)
            counts = [min(end, stop) - max(end - count, start)
                      for end, count in zip(ends[images], self.counts[images])]
            yield images, Pairs(self.image[start:stop] - first,
                                self.category[start:stop], counts)
            start = stop


def per_pair(x: Tensor, image: Tensor) -> Tensor:
    """What belongs to each pair's image: x [B, ...] to [M, ...].

    Args:
        x: Values of B images.
        image: Image of each pair, [M].

    Returns:
        Tensor: A view where there is one image.
    """
    if len(x) == 1:
        return x.expand(len(image), *x.shape[1:])
    # index_select: its backward is far faster than that of indexing
    return x.index_select(0, image)


class DynamicCategorySelection(nn.Module):
    """Selects categories for a batch; see :func:`select_categories`.

    Args:
        theta: Threshold of the image score; 0 selects every category.
        form: ``'paper'`` or ``'union'``.
        max_categories: Most categories per image; the ones with the highest image
            scores stay. None: no limit.
    """

    def __init__(self, theta: float = 0.5, form: str = 'paper',
                 max_categories: int | None = None) -> None:
        super().__init__()
        if max_categories is not None and max_categories < 1:
            raise ValueError(f'max_categories must be positive, got {max_categories}')
        self.theta = theta
        self.form = form
        self.max_categories = max_categories

    @torch.no_grad()
    def forward(self, patch: Tensor, cls: Tensor, text: Tensor, logit_scale: float
                ) -> Tensor:
        """Select.

        Args:
            patch: [B, N, D].
            cls: [B, D].
            text: [C, D].
            logit_scale: tau.

        Returns:
            Tensor: bool [B, C].
        """
        selected = select_categories(patch, cls, text, logit_scale=logit_scale,
                                     theta=self.theta, form=self.form).selected
        most = self.max_categories
        if most is not None and (count := int(selected.sum(1).max())) > most:
            print_log(f'selection cut from {count} to {most} categories '
                      '(max_categories)', 'current')
            # not the scores: small ones underflow to the same 0
            logits, _ = _image_logits(F.normalize(cls.float(), dim=-1), text,
                                      logit_scale, SCORES // text.shape[1])
            kept = logits.masked_fill(~selected, -torch.inf).topk(most, 1).indices
            selected &= torch.zeros_like(selected).scatter_(1, kept, True)
        return selected

    def extra_repr(self) -> str:
        return (f'theta={self.theta}, form={self.form!r}, '
                f'max_categories={self.max_categories}')
