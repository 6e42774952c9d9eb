"""Dynamic category selection (Sec. III-A, Eq. 1-5): which words an image needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn

from .structures import CLIPFeatures, TextEmbeddings, first_equal

MAX_SCORES = 2**21  # scores of patches and categories held at once


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


def select_categories(patch: Tensor, cls: Tensor, text: Tensor, *, logit_scale: float,
                      theta: float, return_scores: bool = False, form: str = 'paper',
                      first: Tensor | None = None, max_scores: int = MAX_SCORES,
                      block: int = 64) -> Selection:
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
        max_scores: Scores of patches and categories held at once; changes no result.
        block: Categories whose maximum is taken at once; changes no result.

    Returns:
        Selection: ``.selected`` [B, C]; scores when asked for.

    Raises:
        ValueError: theta outside [0, 1], an unknown form, or shapes that do not fit.
    """
    check_selection(theta, form)
    if not (patch.ndim == 3 and cls.ndim == text.ndim == 2 and len(text)
            and patch.shape[-1] == cls.shape[-1] == text.shape[-1]):
        raise ValueError('expected patch [B, N, D], cls [B, D] and text [C, D] with '
                         f'C > 0, got {tuple(patch.shape)}, {tuple(cls.shape)}, '
                         f'{tuple(text.shape)}')
    patch, cls = (F.normalize(x.float(), dim=-1) for x in (patch, cls))
    chunk = max(block, max_scores // patch[..., 0].numel() // block * block)
    logits, lengths = image_logits(cls, text, logit_scale, chunk)
    image_scores = logits.softmax(-1)  # Eq. 1, S_img
    if theta == 0:  # The softmax underflows to 0: "> 0" would lose categories.
        selected = torch.ones_like(image_scores, dtype=torch.bool)
    else:
        selected = image_scores > theta  # Eq. 4, C_image
        weights = [(1 - image_scores) / lengths]  # Eq. 2
        if form == 'union':
            weights.append((1 / lengths).expand_as(image_scores))
        first = first_equal(text) if first is None else first
        for best in _best_of_patches(patch, text, weights, chunk, block):  # Eq. 3
            selected.scatter_(1, first[best], True)  # Eq. 5, with C_patch
    if not return_scores:
        return Selection(selected)
    plain = patch @ F.normalize(text.float(), dim=-1).T  # Eq. 1, S_patch
    refined = plain * (1 - image_scores)[:, None]  # Eq. 2
    return Selection(selected, image_scores, refined.transpose(1, 2))


def check_selection(theta: float, form: str) -> None:
    """Refuse settings that mean nothing.

    Raises:
        ValueError: theta outside [0, 1], or an unknown form.
    """
    if not isinstance(theta, (int, float)) or not 0 <= theta <= 1:
        raise ValueError(f'theta is a probability in [0, 1], got {theta!r}')
    if form not in ('paper', 'union'):
        raise ValueError(f"form must be 'paper' or 'union', got {form!r}")


def image_logits(cls: Tensor, text: Tensor, logit_scale: float, chunk: int
                 ) -> tuple[Tensor, Tensor]:
    """What the softmax of Eq. 1 takes, and the embeddings' lengths.

    Args:
        cls: Unit features, [B, D].
        text: Embeddings, [C, D].
        logit_scale: tau.
        chunk: Categories at once.

    Returns:
        tuple: Logits [B, C] and lengths [C].
    """
    logits, lengths = [], []
    for part in text.split(chunk):
        part = part.float()
        lengths.append(torch.linalg.vector_norm(part, dim=-1).clamp(min=1e-12))
        logits.append(cls @ part.T / lengths[-1])
    return logit_scale * torch.cat(logits, 1), torch.cat(lengths)


def _best_of_patches(patch: Tensor, text: Tensor, weights: Sequence[Tensor], chunk: int,
                     block: int) -> list[Tensor]:
    """The best category of each patch.

    Args:
        patch: Unit features, [B, N, D].
        text: Embeddings, [C, D].
        weights: Factors on the product of each category, each [B, C].
        chunk: Categories at once.
        block: As in ``_first_max``.

    Returns:
        list[Tensor]: For each of the weights, int64 [B, N].
    """
    best = [(patch.new_full(patch.shape[:2], -torch.inf),
             patch.new_zeros(patch.shape[:2], dtype=torch.long)) for _ in weights]
    for start in range(0, len(text), chunk):
        part = slice(start, start + chunk)
        product = patch @ text[part].float().T
        for i, weight in enumerate(weights):
            score, index = _first_max(product * weight[:, None, part], block)
            better = score > best[i][0]
            best[i] = (torch.where(better, score, best[i][0]),
                       torch.where(better, index + start, best[i][1]))
    return [index for _, index in best]


def _first_max(x: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Maximum and its first place along the last dimension.

    The maxima of blocks come first: much faster on a CPU than a search with places
    over everything.
    """
    if x.shape[-1] % block:
        x = F.pad(x, (0, -x.shape[-1] % block), value=-torch.inf)
    x = x.unflatten(-1, (-1, block))
    best = x.amax(-1).argmax(-1, keepdim=True)
    inside = x.gather(-2, best[..., None].expand(*best.shape, block)).squeeze(-2)
    score, place = inside.max(-1)
    return score, best.squeeze(-1) * block + place


@MODELS.register_module()
class DynamicCategorySelection(nn.Module):
    """Selects categories for a batch; see ``select_categories``.

    A selection of your own is a registered module with this ``forward``; name it as
    ``selection=dict(type=...)``.

    Args:
        theta: Threshold of the image score; 0 selects every category.
        form: ``'paper'`` or ``'union'``.
        max_categories: Most categories per image; the ones with the highest image
            scores stay. None: no limit.
        max_scores: Scores of patches and categories held at once.

    Raises:
        ValueError: theta outside [0, 1], an unknown form, or a limit below 1.
    """

    def __init__(self, theta: float = 0.5, form: str = 'paper',
                 max_categories: int | None = None, max_scores: int = MAX_SCORES
                 ) -> None:
        super().__init__()
        check_selection(theta, form)
        if max_categories is not None and max_categories < 1:
            raise ValueError(f'max_categories must be positive, got {max_categories}')
        self.theta = theta
        self.form = form
        self.max_categories = max_categories
        self.max_scores = max_scores

    @torch.no_grad()
    def forward(self, features: CLIPFeatures, text: TextEmbeddings, logit_scale: float
                ) -> Tensor:
        """Select.

        Args:
            features: The encoder's view of B images.
            text: Embeddings of C categories.
            logit_scale: tau.

        Returns:
            Tensor: bool [B, C].
        """
        selected = select_categories(
            features.patch, features.cls, text.mean, logit_scale=logit_scale,
            theta=self.theta, form=self.form, first=text.first_equal(),
            max_scores=self.max_scores).selected
        most = self.max_categories
        if most is not None and (count := int(selected.sum(1).max())) > most:
            print_log(f'selection cut from {count} to {most} categories '
                      '(max_categories)', 'current')
            # not the scores: small ones underflow to the same 0
            logits, _ = image_logits(
                F.normalize(features.cls.float(), dim=-1), text.mean, logit_scale,
                max(1, self.max_scores // text.mean.shape[1]))
            kept = logits.masked_fill(~selected, -torch.inf).topk(most, 1).indices
            selected &= torch.zeros_like(selected).scatter_(1, kept, True)
        return selected

    def extra_repr(self) -> str:
        return (f'theta={self.theta}, form={self.form!r}, '
                f'max_categories={self.max_categories}')
