"""The selection as a module: its form and its limits."""

from typing import Any

import torch
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..clip.layers import without_autocast
from ..structures import CLIPFeatures, TextEmbeddings
from ..tracing import recording
from .paper import check_selection, select_categories
from .pruning import prunable
from .purify import check_purify, select_pure
from .scores import MAX_SCORES, image_order, mark_top
from .votes import select_by_votes

FORMS = ('paper', 'union', 'purify', 'votes')


@MODELS.register_module()
class DynamicCategorySelection(nn.Module):
    """Selects categories for a batch.

    Forms:

    - ``'paper'``, ``'union'``: by image and patch scores, see ``select_categories``;
    - ``'purify'``: of the words that win a patch those whose maps hold together, see
      ``select_pure``; needs an encoder with attention;
    - ``'votes'``: a fixed number of words by the patches' votes, see
      ``select_by_votes``.

    A selection of your own is a registered module with this ``forward``; name it as
    ``selection=dict(type=...)``. One with the attribute ``with_mean_attention`` gets
    ``CLIPFeatures.mean_attention``.

    Args:
        theta: Threshold of the image score (paper, union); 0 selects every category.
        form: One of the above.
        max_categories: Most categories per image; the ones with the highest image
            scores stay. None: no limit.
        max_scores: Scores of patches and categories held at once.
        purity: Least purity of a word (purify).
        overlap: Of words whose maps overlap as much the purest stays (purify).
        scale: Factor on the cosine (purify).
        box: Threshold of the box of a map, or None (purify).
        num_kept: Words that stay (votes).
        prune: Whether words that cannot win are ruled out in 8 bits, where there are
            many and the processor is fast at it (not purify, which sums over all);
            changes no result.

    Raises:
        ValueError: A threshold outside [0, 1], an unknown form, or a limit below 1.
    """

    def __init__(self, theta: float = 0.5, form: str = 'paper',
                 max_categories: int | None = None, max_scores: int = MAX_SCORES, *,
                 purity: float = 0.1, overlap: float = 0.85, scale: float = 100.0,
                 box: float | None = None, num_kept: int = 32, prune: bool = True
                 ) -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f'form must be one of {", ".join(FORMS)}, got {form!r}')
        check_selection(theta)
        check_purify(purity, overlap, box)
        for name, limit in (('max_categories', max_categories), ('num_kept', num_kept)):
            if limit is not None and limit < 1:
                raise ValueError(f'{name} must be positive, got {limit}')
        self.theta = theta
        self.form = form
        self.max_categories = max_categories
        self.max_scores = max_scores
        self.purity = purity
        self.overlap = overlap
        self.scale = scale
        self.box = box
        self.num_kept = num_kept
        self.prune = prune

    @property
    def with_mean_attention(self) -> bool:
        """bool: Whether ``CLIPFeatures.mean_attention`` is needed."""
        return self.form == 'purify'

    @torch.no_grad()
    def forward(self, features: CLIPFeatures, text: TextEmbeddings,
                logit_scale: float | Tensor) -> Tensor:
        """Select.

        Args, raises: As of ``candidates``.

        Returns:
            Tensor: bool [B, C], at most ``max_categories`` of each image.
        """
        selected = self.candidates(features, text, logit_scale)
        most = self.max_categories
        if most is None:
            return selected
        if not recording():  # else it is cut in any case, without waiting for a number
            count = int(selected.sum(1).max())
            if count <= most:
                return selected
            print_log(f'selection cut from {count} to {most} categories '
                      '(max_categories)', 'current')
        order = image_order(features.cls, text, logit_scale, self.max_scores)
        return selected & mark_top(order.masked_fill(~selected, -torch.inf), most)

    @torch.no_grad()
    def candidates(self, features: CLIPFeatures, text: TextEmbeddings,
                   logit_scale: float | Tensor) -> Tensor:
        """Select without a limit.

        Args:
            features: The encoder's view of B images.
            text: Embeddings of C categories.
            logit_scale: tau; a tensor [] of the device spares the host a wait.

        Returns:
            Tensor: bool [B, C].

        Raises:
            ValueError: ``'purify'`` without attention.
        """
        with without_autocast(features.patch):  # near words are closer than bfloat16
            return self._select(features, text, logit_scale)

    def _select(self, features: CLIPFeatures, text: TextEmbeddings,
                logit_scale: float | Tensor) -> Tensor:
        """As ``forward``, in float32."""
        words = text.mean
        common: dict[str, Any] = dict(first=text.first_equal(),
                                      max_scores=self.max_scores)
        if self.form == 'purify':
            if features.mean_attention is None:
                raise ValueError(
                    "form='purify' needs CLIPFeatures.mean_attention: call the image "
                    'encoder with with_mean_attention=True')
            return select_pure(
                features.patch, words, features.mean_attention, features.grid,
                purity=self.purity, overlap=self.overlap, scale=self.scale,
                box=self.box, **common)
        if self.prune and prunable(features.patch, words):
            common['coarse'] = text.coarse_words()
        if self.form == 'votes':
            return select_by_votes(features.patch, words, num_kept=self.num_kept,
                                   **common)
        return select_categories(
            features.patch, features.cls, words, logit_scale=logit_scale,
            theta=self.theta, form=self.form, **common).selected

    def extra_repr(self) -> str:
        own = dict(purify=('purity', 'overlap', 'scale', 'box'),
                   votes=('num_kept', )).get(self.form, ('theta', ))
        return ', '.join(f'{name}={getattr(self, name)!r}' for name in (
            'form', *own, 'max_categories'))
