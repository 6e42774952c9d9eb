"""The loader of a test set, and its words for the model."""

from collections.abc import Mapping
from copy import deepcopy

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..datasets import dataset_vocabulary
from ..models import DCPCLIP


def open_loader(model: DCPCLIP, dataloader: Mapping) -> DataLoader:
    """Build a test loader and give its words to a model.

    Args:
        model: Gets the words.
        dataloader: As ``test_dataloader`` in a config.
    """
    loader = Runner.build_dataloader(deepcopy(dataloader))
    model.set_vocabulary(dataset_vocabulary(loader.dataset))
    return loader
