"""The network with a fixed number of categories per picture: no size of its results
depends on what is in a picture."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..protocol import wanted_attention
from ..selection.scores import image_logits, top_selected
from ..structures import Pairs, TextEmbeddings
from .decoding import decode_part
from .views import ABSENT


class StaticDCPCLIP(nn.Module):
    """Encoder, selection, neck and head of a ``DCPCLIP``, of fixed shapes.

    It shares the model's weights and formulas. Of each picture it takes the K selected
    categories with the highest image scores (``F_cls`` and word, Eq. 1): the model with
    ``selection.max_categories=K`` takes the same. Where fewer are selected all of them
    count and the rest fills up. Nothing waits for the device, and
    ``torch.compile(fullgraph=True)`` and ``torch.export`` take it as a whole.

    Args:
        model: Set to test mode by the caller.
        max_selected: K, at least 1.
        shared: Whether the pictures are views of one (slide mode): then all have the
            categories that any of them selected; those of others are ``ABSENT`` where
            ``test_cfg.share_words`` is false.

    Raises:
        ValueError: K below 1, or a neck that cannot leave out what fills up.
    """

    def __init__(self, model: Any, max_selected: int = 32, shared: bool = False
                 ) -> None:
        super().__init__()
        if max_selected < 1:
            raise ValueError(f'max_selected must be at least 1, got {max_selected}')
        if not model.neck.takes_filled_up:
            raise ValueError(
                f'neck: {type(model.neck).__name__} cannot leave out pairs that only '
                'fill up: use TextGuidedAlignment or CosineNeck, or teach it '
                'Pairs.valid and set takes_filled_up = True')
        self.backbone = model.backbone
        self.selection = model.selection
        self.neck = model.neck
        self.head = model.decode_head
        self.logit_scale = float(model.text_encoder.logit_scale)
        self.max_selected = max_selected
        self.shared = shared
        self.own_words = shared and not model.settings.share_words

    @property
    def uses_templates(self) -> bool:
        """bool: Whether ``forward`` needs ``templates``."""
        return self.neck.uses_templates

    def forward(self, pictures: Tensor, mean: Tensor, first: Tensor,
                templates: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the selected categories.

        Args:
            pictures: Normalised, [B, 3, H, W].
            mean: ``TextEmbeddings.mean``, [C, D].
            first: ``TextEmbeddings.first_equal()``, int64 [C].
            templates: ``TextEmbeddings.templates``, [C, P, D]; of any precision. None
                where ``uses_templates`` is false.

        Returns:
            tuple: Logits [B, K, h, w], ``ABSENT`` where they fill up, and the
            categories' ids in ascending order, int64 [B, K], -1 where they fill up.
        """
        wanted = wanted_attention(self.head, self.selection)
        features = self.backbone(pictures, **wanted)
        text = TextEmbeddings(mean if templates is None else templates, mean, first)
        with torch.no_grad():
            selected = self.selection(features, text, self.logit_scale)
            scores, _ = image_logits(F.normalize(features.cls.float(), dim=-1), mean,
                                     self.logit_scale, None)
            own = selected
            if self.shared:
                selected = selected.any(0, keepdim=True).expand_as(selected)
                scores = scores.amax(0, keepdim=True).expand_as(scores)
            ids, valid = top_selected(selected, scores, self.max_selected)
            here = valid & own.gather(1, ids) if self.own_words else valid
        pairs = Pairs.filled_up(ids, here)
        means = mean[pairs.category].float()
        words = (means[:, None] if templates is None
                 else templates[pairs.category].float())
        logits = decode_part(self.neck, self.head, features, words, pairs,
                             self.neck.prepare(features, means, pairs),
                             self.head.prepare(features))
        logits = logits.view(*ids.shape, *logits.shape[1:])
        return (logits.masked_fill(~here[..., None, None], ABSENT),
                ids.masked_fill(~valid, -1))
