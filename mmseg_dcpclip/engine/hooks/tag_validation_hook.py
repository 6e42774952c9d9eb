"""Turns tag validation (Eq. 17) on for val and test."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...models.tag_validation import TagValidation
from ...vocabulary import Vocabulary
from .vocabulary_hook import bare_model


@HOOKS.register_module()
class TagValidationHook(Hook):
    """Attaches a :class:`TagValidation` to the model while val and test run.

    The loops hand predictions to the evaluator before any ``after_*_iter`` hook, so
    the step has to be part of the model's ``predict``.

    Args:
        seen: The training vocabulary: a name or path for :meth:`Vocabulary.load`, or
            a list of names. None: the model's vocabulary when the hook is built into
            the run, which is the config's.
        top_k: k of Eq. 17.
        match: ``'name'`` or ``'concept'``, see :meth:`Vocabulary.seen`.
    """

    def __init__(self, seen: str | Sequence[str] | None = None, top_k: int = 5,
                 match: str = 'name') -> None:
        self.validation: TagValidation | None = None
        self.seen = seen
        self.top_k = top_k
        self.match = match

    def make_validation(self, vocabulary: Vocabulary) -> TagValidation:
        """The step with these settings, for use without a Runner.

        Args:
            vocabulary: The config's, seen where ``seen`` is None.
        """
        return TagValidation(vocabulary if self.seen is None else self.seen,
                             self.top_k, self.match)

    def before_run(self, runner: Runner) -> None:
        """Settle the seen categories before any loop changes the vocabulary."""
        self.validation = self.make_validation(bare_model(runner).vocabulary)

    def before_val(self, runner: Runner) -> None:
        bare_model(runner).tag_validation = self.validation

    def after_val(self, runner: Runner) -> None:
        bare_model(runner).tag_validation = None

    def before_test(self, runner: Runner) -> None:
        bare_model(runner).tag_validation = self.validation

    def after_test(self, runner: Runner) -> None:
        bare_model(runner).tag_validation = None
