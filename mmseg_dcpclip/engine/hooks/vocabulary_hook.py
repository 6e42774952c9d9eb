"""Lets the model's words follow the dataset at hand."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...datasets import dataset_vocabularies, dataset_vocabulary
from ...datasets.label_transforms import check_wrappers
from ...vocabulary import Vocabulary
from ..variables import changed_variables


def bare_model(runner: Runner) -> Any:
    """The runner's model without DDP, test-time augmentation or another wrapper."""
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


@HOOKS.register_module()
class VocabularyHook(Hook):
    """Sets the model's vocabulary to the dataset's before each loop.

    A training run validates on another vocabulary than it trains on; after the
    validation the training vocabulary returns. It stands in the configs'
    ``default_hooks``, which a config of your own adds to and does not replace.
    """
    # Ahead of hooks that rely on the words, such as TagValidationHook.
    priority = 'HIGH'

    def __init__(self) -> None:
        self._before_val: Vocabulary | None = None

    def before_run(self, runner: Runner) -> None:
        """Refuse settings that another runner than ours has passed over."""
        names = changed_variables(runner.cfg)
        if names:
            raise ValueError(
                f'{", ".join(names)} of the config changed nothing: mmengine binds '
                "such values when it reads a file. Set runner_type='AnywhereRunner', "
                'which brings them where they belong, or call '
                'mmseg_dcpclip.engine.apply_variables(config) first')

    def before_train(self, runner: Runner) -> None:
        dataset = runner.train_dataloader.dataset
        check_wrappers(dataset)
        # Where there are several, each picture brings its own.
        bare_model(runner).set_vocabulary(dataset_vocabularies(dataset)[0])

    def before_val(self, runner: Runner) -> None:
        self._before_val = bare_model(runner).vocabulary
        bare_model(runner).set_vocabulary(
            dataset_vocabulary(runner.val_dataloader.dataset))

    def after_val(self, runner: Runner) -> None:
        bare_model(runner).set_vocabulary(self._before_val)

    def before_test(self, runner: Runner) -> None:
        bare_model(runner).set_vocabulary(
            dataset_vocabulary(runner.test_dataloader.dataset))
