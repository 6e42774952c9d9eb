"""Turns tag validation (Eq. 17) on for val and test."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import HOOKS, MODELS

from ...models.segmentors.second_look import check_second_look
from ...models.tag_validation import TagValidation
from ...vocabulary import Vocabulary, Words
from .vocabulary_hook import bare_model


@HOOKS.register_module()
class TagValidationHook(Hook):
    """Lets a model validate tags while val and test run.

    The settings belong into the model, ``model.tag_validation=dict(...)``, where every
    route finds them. This hook serves models that have none: it gives them a
    ``TagValidation`` for val and test and takes it away again. The loops hand
    predictions to the evaluator before any ``after_*_iter`` hook, so the step has to be
    part of the model's ``predict``.

    Args:
        seen: The training vocabulary: a name or path for ``Vocabulary.load``, or
            a list of names. None: the model's vocabulary when the hook is built into
            the run, which is the config's. ``[]``: every category is unseen.
        top_k: k of Eq. 17.
        **settings: Of ``TagValidation``: ``match``, ``region`` and ``candidates``.

    Raises:
        ValueError: The model has other settings of its own, or its encoder cannot do
            what these ask for.
    """

    def __init__(self, seen: Words | None = None, top_k: int = 5, **settings: Any
                 ) -> None:
        self.validation: TagValidation | None = None
        self.seen = seen
        self.top_k = top_k
        self.settings = settings
        self._own: Any = None  # the model's

    def make_validation(self, vocabulary: Vocabulary) -> TagValidation:
        """The step with these settings, for use without a Runner.

        Args:
            vocabulary: The config's, seen where ``seen`` is None.
        """
        return MODELS.build(dict(
            type='TagValidation', seen=vocabulary if self.seen is None else self.seen,
            top_k=self.top_k, **self.settings))

    def before_run(self, runner: Runner) -> None:
        """Settle the seen categories before any loop changes the vocabulary."""
        model = bare_model(runner)
        self.validation = self.make_validation(model.vocabulary)
        check_second_look(self.validation, model.backbone)
        if model.tag_validation is None:
            print_log(
                'TagValidationHook: tags are validated in val and test only; '
                'model.tag_validation=dict(...) in the config does it on every route',
                'current')
        elif model.tag_validation != self.validation:
            raise ValueError(
                f'TagValidationHook wants {self.validation!r}, the model has '
                f'{model.tag_validation!r}: remove the hook, the model validates tags '
                'by itself')

    def before_val(self, runner: Runner) -> None:
        self._switch_on(runner)

    def after_val(self, runner: Runner) -> None:
        self._switch_back(runner)

    def before_test(self, runner: Runner) -> None:
        self._switch_on(runner)

    def after_test(self, runner: Runner) -> None:
        self._switch_back(runner)

    def _switch_on(self, runner: Runner) -> None:
        model = bare_model(runner)
        self._own, model.tag_validation = model.tag_validation, self.validation

    def _switch_back(self, runner: Runner) -> None:
        bare_model(runner).tag_validation = self._own
