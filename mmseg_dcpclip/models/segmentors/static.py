"""The network with a fixed number of categories per picture: no size of its results
depends on what is in a picture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..protocol import CategoryHead, CategoryNeck, ImageEncoder, wanted_attention
from ..selection.scores import image_order, top_selected
from ..structures import CLIPFeatures, Pairs, TextEmbeddings
from .compiling import compiled
from .decoding import decode_part
from .encoding import encode_in_parts
from .settings import check_keys, check_limit
from .views import ABSENT, of_any_view

MAX_SELECTED = 32


@dataclass(frozen=True)
class StaticSettings:
    """The keys of a ``DCPCLIP``'s ``static``.

    Attributes:
        max_selected: K, see ``decode_static``.
        compile: Arguments of ``torch.compile``, which takes encoder, selection, neck
            and head as one graph; ``dict(mode='reduce-overhead')``: by CUDA graphs.
            None: not compiled.
    """
    max_selected: int = MAX_SELECTED
    compile: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, static: Mapping[str, Any], neck: CategoryNeck) -> 'StaticSettings':
        """Read a ``static``.

        Raises:
            ValueError: An unknown key, K below 1, or a neck that cannot leave out what
                fills up.
        """
        check_keys(cls, static, 'static')
        settings = cls(**static)
        check_static(settings.max_selected, neck)
        return settings


def check_static(max_selected: int, neck: CategoryNeck) -> None:
    """Refuse what cannot be of fixed shapes.

    Raises:
        ValueError: K below 1, or a neck that cannot leave out what fills up.
    """
    check_limit('max_selected', max_selected)
    if not neck.takes_filled_up:
        raise ValueError(
            f'neck: {type(neck).__name__} cannot leave out pairs that only fill up: '
            'use TextGuidedAlignment or CosineNeck, or teach it Pairs.valid and set '
            'takes_filled_up = True')


def decode_static(selection: nn.Module, neck: CategoryNeck, head: CategoryHead,
                  features: CLIPFeatures, text: TextEmbeddings,
                  logit_scale: float | Tensor, max_selected: int,
                  views: int | None = 1, own_words: bool = False
                  ) -> tuple[Tensor, Tensor]:
    """Logits of a fixed number of categories (Eq. 1-16).

    Of each picture the K selected categories with the highest image scores (``F_cls``
    and word, Eq. 1) count: a model with ``selection.max_categories=K`` takes the same.
    Where fewer are selected all of them count and the rest fills up.

    Args:
        selection: Selects.
        neck: It ``takes_filled_up``.
        head: The head.
        features: The encoder's view of B pictures.
        text: Embeddings of C categories.
        logit_scale: tau.
        max_selected: K.
        views: So many pictures after each other are views of one and have the
            categories that any of them selected; None: all.
        own_words: Whether those that a view did not select itself are ``ABSENT`` there.

    Returns:
        tuple: Logits [B, K, h, w], ``ABSENT`` where they fill up, and the categories'
        ids in ascending order, int64 [B, K], -1 where they fill up.
    """
    with torch.no_grad():
        own = selected = selection(features, text, logit_scale)
        scores = image_order(features.cls, text, logit_scale)
        if views != 1:
            selected = of_any_view(selected, views)
            scores = of_any_view(scores, views)
        ids, valid = top_selected(selected, scores, max_selected)
        here = valid & own.gather(1, ids) if own_words else valid
    pairs = Pairs.filled_up(ids, here)
    means = text.mean[pairs.category].float()
    words = text.rows(pairs.category) if neck.uses_templates else means[:, None]
    logits = decode_part(neck, head, features, words, pairs,
                         neck.prepare(features, means, pairs), head.prepare(features))
    logits = logits.view(*ids.shape, *logits.shape[1:])
    return (logits.masked_fill(~here[..., None, None], ABSENT),
            ids.masked_fill(~valid, -1))


def run_static(backbone: ImageEncoder, selection: nn.Module, neck: CategoryNeck,
               head: CategoryHead, images: Tensor, text: TextEmbeddings,
               logit_scale: float | Tensor, max_selected: int, views: int,
               own_words: bool) -> tuple[Tensor, Tensor, CLIPFeatures]:
    """``decode_static`` behind the image encoder.

    Args:
        backbone: The image encoder.
        images: [B, 3, H, W].
        selection, neck, head, text, logit_scale, max_selected, views, own_words: As
            there.

    Returns:
        tuple: What it returns, and the encoder's view of the images.
    """
    wanted = wanted_attention(head, selection)
    features = encode_in_parts(lambda part: backbone(part, **wanted), images)
    return (*decode_static(selection, neck, head, features, text, logit_scale,
                           max_selected, views, own_words), features)


def encode_decode_static(
        settings: StaticSettings, backbone: ImageEncoder, selection: nn.Module,
        neck: CategoryNeck, head: CategoryHead, images: Tensor, text: TextEmbeddings,
        logit_scale: float | Tensor, views: int, own_words: bool
        ) -> tuple[Tensor, Pairs, CLIPFeatures]:
    """``run_static`` as the settings want it, without what fills up.

    Args:
        settings: K, and whether it is compiled.
        backbone, selection, neck, head, images, text, logit_scale, views, own_words: As
            there.

    Returns:
        tuple: As of ``DCPCLIP.encode_decode``.
    """
    run: Callable[..., Any] = run_static
    if settings.compile is not None:
        run = compiled(run_static, fullgraph=True, **settings.compile)
        text.first_equal()  # is kept, so that it is no part of the graph
        # The next call writes over what CUDA graphs return.
        getattr(torch.compiler, 'cudagraph_mark_step_begin', lambda: None)()
    logits, ids, features = run(backbone, selection, neck, head, images, text,
                                logit_scale, settings.max_selected, views, own_words)
    if settings.compile is not None:
        features = features.clone()
    there = ids >= 0
    mask = there.cpu()  # the host waits for the device once
    image = mask.nonzero()[:, 0].to(ids.device)
    return logits[there], Pairs(image, ids[there], mask.sum(1).tolist()), features


class StaticDCPCLIP(nn.Module):
    """Encoder, selection, neck and head of a ``DCPCLIP``, of fixed shapes.

    It shares the model's weights and formulas, see ``decode_static``. Nothing waits for
    the device, and ``torch.compile(fullgraph=True)`` and ``torch.export`` take it as a
    whole. In a model's predictions ``DCPCLIP(static=dict(...))`` does the same.

    Args:
        model: Set to test mode by the caller.
        max_selected: K, at least 1.
        shared: Whether the pictures are views of one (slide mode): then all have the
            categories that any of them selected; those of others are ``ABSENT`` where
            ``test_cfg.share_words`` is false.

    Raises:
        ValueError: K below 1, or a neck that cannot leave out what fills up.
    """

    def __init__(self, model: Any, max_selected: int = MAX_SELECTED,
                 shared: bool = False) -> None:
        super().__init__()
        check_static(max_selected, model.neck)
        self.backbone = model.backbone
        self.selection = model.selection
        self.neck = model.neck
        self.head = model.decode_head
        self.logit_scale = float(model.text_encoder.logit_scale)
        self.max_selected = max_selected
        self.views = None if shared else 1
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
            tuple: As of ``decode_static``.
        """
        wanted = wanted_attention(self.head, self.selection)
        features = self.backbone(pictures, **wanted)
        text = TextEmbeddings(mean if templates is None else templates, mean, first)
        return decode_static(self.selection, self.neck, self.head, features, text,
                             self.logit_scale, self.max_selected, self.views,
                             self.own_words)
