"""Dynamic category selection (Sec. III-A, Eq. 1-5): which words an image needs."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

CHUNK = 4096  # categories scored against the patches at once


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
    patch, cls, text = (F.normalize(x.float(), dim=-1) for x in (patch, cls, text))
    image_scores = (logit_scale * cls @ text.T).softmax(-1)  # Eq. 1
    if theta == 0:  # The softmax underflows to 0: "> 0" would lose categories.
        selected = torch.ones_like(image_scores, dtype=torch.bool)
    else:
        selected = image_scores > theta  # Eq. 4
        selected |= _best_of_patches(patch, text, 1 - image_scores)  # Eq. 3, 5
        if form == 'union':
            selected |= _best_of_patches(patch, text, torch.ones_like(image_scores))
    if not return_scores:
        return Selection(selected)
    refined = (patch @ text.T) * (1 - image_scores)[:, None]  # Eq. 2
    return Selection(selected, image_scores, refined.transpose(1, 2))


def _best_of_patches(patch: Tensor, text: Tensor, weight: Tensor) -> Tensor:
    """Categories that are the best of some patch, bool [B, C].

    Args:
        patch: Unit features, [B, N, D].
        text: Unit embeddings, [C, D].
        weight: Factor on the cosine of each category, [B, C].
    """
    best_score = patch.new_full(patch.shape[:2], -torch.inf)
    best_id = torch.zeros_like(best_score, dtype=torch.long)
    for start in range(0, len(text), CHUNK):
        part = slice(start, start + CHUNK)
        score, index = ((patch @ text[part].T) * weight[:, None, part]).max(-1)
        better = score > best_score
        best_score = torch.where(better, score, best_score)
        best_id = torch.where(better, index + start, best_id)
    return torch.zeros_like(weight, dtype=torch.bool).scatter_(1, best_id, True)


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
        if most is not None and int(selected.sum(1).max()) > most:
            print_log(f'selection cut from {int(selected.sum(1).max())} to '
                      f'{most} categories (max_categories)', 'current')
            score = F.normalize(cls.float(), dim=-1) @ F.normalize(text.float(),
                                                                   dim=-1).T
            kept = score.masked_fill(~selected, -torch.inf).topk(most, 1).indices
            selected &= torch.zeros_like(selected).scatter_(1, kept, True)
        return selected

    def extra_repr(self) -> str:
        return (f'theta={self.theta}, form={self.form!r}, '
                f'max_categories={self.max_categories}')
