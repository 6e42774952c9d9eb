"""Lets the model's words follow the dataset at hand."""


from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn
from torch.utils.data import Dataset

from ...vocabulary import Vocabulary


def bare_model(runner: Runner) -> nn.Module:
    """The runner's model without a DDP or other wrapper."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def dataset_vocabulary(dataset: Dataset) -> Vocabulary:
    """The words of a dataset: its ``vocabulary``, or its metainfo's classes.

    Wrappers (``RepeatDataset``, ``ConcatDataset``) are looked into.
    """
    while not hasattr(dataset, 'vocabulary') and not hasattr(dataset, 'METAINFO'):
        inner = getattr(dataset, 'dataset', None)
        dataset = dataset.datasets[0] if inner is None else inner
    if hasattr(dataset, 'vocabulary'):
        return dataset.vocabulary
    meta = dataset.metainfo
    return Vocabulary(meta['classes'], palette=meta.get('palette'))


@HOOKS.register_module()
class VocabularyHook(Hook):
    """Sets the model's vocabulary to the dataset's before each loop.

    A training run validates on another vocabulary than it trains on; after the
    validation the training vocabulary returns.
    """
    # Ahead of hooks that rely on the words, such as TagValidationHook.
    priority = 'HIGH'

    def __init__(self) -> None:
        self._before_val: Vocabulary | None = None

    def before_train(self, runner: Runner) -> None:
        bare_model(runner).set_vocabulary(
            dataset_vocabulary(runner.train_dataloader.dataset))

    def before_val(self, runner: Runner) -> None:
        self._before_val = bare_model(runner).vocabulary
        bare_model(runner).set_vocabulary(
            dataset_vocabulary(runner.val_dataloader.dataset))

    def after_val(self, runner: Runner) -> None:
        bare_model(runner).set_vocabulary(self._before_val)

    def before_test(self, runner: Runner) -> None:
        bare_model(runner).set_vocabulary(
            dataset_vocabulary(runner.test_dataloader.dataset))
