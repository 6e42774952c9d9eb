"""A model behind the page: one question at a time, each with settings of its own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from threading import Lock

import torch

from ...models.tag_validation import TagValidation
from ...models.text_encoders.text_bank import TextBank
from ...vocabulary import Vocabulary
from ..predictor import Predictor
from ..preparing import prepare
from .answers import MOST_MASKS, Answer
from .asking import Picture, Settings, label_set_digests

MAP_SIDE = 256  # pixels of a side of a word's map, of which there may be 2000


class ServedModel:
    """A predictor that several visitors share.

    A question's words and settings are in the model only while it is answered, and
    questions are answered one after the other. Words that were typed are kept in
    memory, for a few questions; those of label sets on disk, too, as everywhere.

    Args:
        predictor: The model. Nothing else may use it.

    Attributes:
        defaults: The settings of its config.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._lock = Lock()
        options = dict(predictor.config.model.get('text_bank') or {})
        self._typed = TextBank(**{**options, 'root': None})
        self.defaults = defaults_of(predictor)

    @property
    def training_free(self) -> bool:
        """bool: Whether nothing of the model is trained."""
        return not any(p.requires_grad
                       for p in self.predictor.model.decode_head.parameters())

    @contextmanager
    def _set(self, words: Vocabulary, settings: Settings) -> Iterator[None]:
        """The model with other settings, for one thread."""
        with self._lock:
            model = self.predictor.model
            theta = getattr(model.selection, 'theta', None)
            validation, bank = model.tag_validation, model.text_bank
            try:
                if settings.theta is not None:
                    model.selection.theta = settings.theta
                model.tag_validation = validation_of(validation, settings)
                if settings.background or words.words_digest not in label_set_digests():
                    model.text_bank = self._typed
                yield
            finally:
                if settings.theta is not None:
                    model.selection.theta = theta
                model.tag_validation, model.text_bank = validation, bank

    def encode(self, words: Vocabulary, settings: Settings) -> float:
        """Encode words, so that ``segment`` finds them, and tell the seconds.

        Raises:
            ValueError: The settings are refused.
        """
        with self._set(words, settings):
            start = time.perf_counter()
            self.predictor.encode(words, background=settings.rule() or 'none')
            self._wait()
            return time.perf_counter() - start

    def segment(self, picture: Picture, words: Vocabulary, settings: Settings
                ) -> Answer:
        """Answer a question.

        Args:
            picture: The picture.
            words: The categories.
            settings: How.

        Raises:
            ValueError: The settings are refused.
        """
        with self._set(words, settings):
            start = time.perf_counter()
            packed = prepare(self.predictor.pipeline, picture.pixels)
            result, = self.predictor.predict_prepared(
                [packed['inputs']], [packed['data_samples']], words,
                dict(background=settings.rule() or 'none', return_scores=True,
                     maps_side=MAP_SIDE))
            seg_map = result.pred_sem_seg.data[0].int().cpu().numpy()
            seconds = time.perf_counter() - start
        answer = Answer(picture, seg_map, words, result.get('none_id'),
                        tuple(result.selected_categories), seconds)
        scores = result.word_scores
        shown = {category for category, _ in answer.found()[:MOST_MASKS]}
        answer.maps = {i: scores.maps[place].cpu().half().numpy()
                       for place, i in enumerate(scores.ids.tolist()) if i in shown}
        return answer

    def _wait(self) -> None:
        if self.predictor.device.type == 'cuda':
            torch.cuda.synchronize(self.predictor.device)


def defaults_of(predictor: Predictor) -> Settings:
    """The settings of a model's config; ``theta`` is None where it plays no part."""
    model = predictor.model
    rule = model.background
    by_theta = getattr(model.selection, 'form', None) in ('paper', 'union')
    return Settings(
        theta=model.selection.theta if by_theta else None,
        threshold=(rule and rule.threshold) or 0.0,
        background='; '.join(rule.words) if rule else '',
        validate=model.tag_validation is not None,
        top_k=getattr(model.tag_validation, 'top_k', Settings.top_k))


def validation_of(own: TagValidation | None, settings: Settings
                  ) -> TagValidation | None:
    """The second look that settings ask for.

    Args:
        own: The model's; what it has seen and how it looks stay.
        settings: Whether, and with which k.

    Raises:
        ValueError: k is below 1.
    """
    if not settings.validate:
        return None
    if settings.top_k < 1:
        raise ValueError(f'k of tag validation is 1 or more, got {settings.top_k}')
    if own is None:
        return TagValidation(seen=[], top_k=settings.top_k)
    changed = copy(own)
    changed.top_k = settings.top_k
    return changed
