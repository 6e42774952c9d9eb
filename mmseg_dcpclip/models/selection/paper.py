"""The paper's selection by image and patch scores (Sec. III-A, Eq. 1-5)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..coarse import CoarseWords
from ..structures import first_equal
from .pruning import likely_words, pruned_best
from .scores import BLOCK, MAX_SCORES, best_of_patches, chunk_of, image_logits, mark


@dataclass
class Selection:
    """What was selected.

    Attributes:
        selected: bool [B, C] (C_final of Eq. 5).
        image_scores: S_img of Eq. 1, [B, C], or None.
        patch_scores: S_patch_ref, the refined scores of Eq. 2, [B, C, N], or None.
    """
    selected: Tensor
    image_scores: Tensor | None = None
    patch_scores: Tensor | None = None


def select_categories(patch: Tensor, cls: Tensor, text: Tensor, *,
                      logit_scale: float | Tensor,
                      theta: float, return_scores: bool = False, form: str = 'paper',
                      first: Tensor | None = None, coarse: CoarseWords | None = None,
                      max_scores: int = MAX_SCORES, block: int = BLOCK) -> Selection:
    """Select the categories that may be in an image (Eq. 1-5).

    A category is selected if it is the best of some patch by the refined score
    ``S_patch * (1 - S_img)`` or if its image score exceeds ``theta``. Of equal words
    the lowest id wins.

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
        first: What ``first_equal`` gives for ``text``; None: it is
            looked for here.
        coarse: Of ``text``, where words are to be ruled out, see ``prunable``; changes
            no result.
        max_scores: Scores of patches and categories held at once; changes no result.
        block: Categories whose maximum is taken at once; changes no result.

    Returns:
        Selection: ``.selected`` [B, C]; scores when asked for.

    Raises:
        ValueError: theta outside [0, 1], an unknown form, or shapes that do not fit.
    """
    check_selection(theta, form)
    if not (patch.ndim == 3 and cls.ndim == text.ndim == 2 and text.shape[0]
            and patch.shape[-1] == cls.shape[-1] == text.shape[-1]):
        raise ValueError('expected patch [B, N, D], cls [B, D] and text [C, D] with '
                         f'C > 0, got {tuple(patch.shape)}, {tuple(cls.shape)}, '
                         f'{tuple(text.shape)}')
    patch, cls = (F.normalize(x.float(), dim=-1) for x in (patch, cls))
    chunk = chunk_of(patch, text, max_scores, block)
    logits, lengths = image_logits(cls, text, logit_scale, chunk,
                                   None if coarse is None else coarse.lengths)
    image_scores = logits.softmax(-1)  # Eq. 1, S_img
    if theta == 0:  # The softmax underflows to 0: "> 0" would lose categories.
        selected = torch.ones_like(image_scores, dtype=torch.bool)
    else:
        selected = image_scores > theta  # Eq. 4, C_image
        weights = [(1 - image_scores) / lengths]  # Eq. 2
        if form == 'union':
            weights.append((1 / lengths).expand_as(image_scores))
        first = first_equal(text) if first is None else first
        found = None
        if coarse is not None:
            repeated = first != torch.arange(len(first), device=first.device)
            found = pruned_best(patch, text, weights, coarse, repeated,
                                likely_words(logits))
        if found is None:
            found = best_of_patches(patch, text, weights, chunk, block)
        for best in found:  # Eq. 3
            mark(selected, first[best])  # Eq. 5, with C_patch
    if not return_scores:
        return Selection(selected)
    plain = patch @ F.normalize(text.float(), dim=-1).T  # Eq. 1, S_patch
    refined = plain * (1 - image_scores)[:, None]  # Eq. 2
    return Selection(selected, image_scores, refined.transpose(1, 2))


def check_selection(theta: float, form: str = 'paper') -> None:
    """Refuse settings that mean nothing.

    Raises:
        ValueError: theta outside [0, 1], or an unknown form.
    """
    if not isinstance(theta, (int, float)) or not 0 <= theta <= 1:
        raise ValueError(f'theta is a probability in [0, 1], got {theta!r}')
    if form not in ('paper', 'union'):
        raise ValueError(f"form must be 'paper' or 'union', got {form!r}")
