"""A config's test set and model, as the measuring commands need them."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..datasets import dataset_vocabulary
from ..engine import apply_variables
from ..models import DCPCLIP
from .predictor import Predictor


def open_test_set(config: str | Path | Config, checkpoint: str | Path | None,
                  device: str = 'cpu', options: Mapping | None = None
                  ) -> tuple[DCPCLIP, DataLoader]:
    """Build the model and the test loader of a config.

    Args:
        config: Path of the config, or the config.
        checkpoint: Weights; None for CLIP's own.
        device: As in torch.
        options: Changes of the config, by dotted key.

    Returns:
        tuple: The model, in eval mode, with the words of the test set and the
        config's tag validation; and ``test_dataloader``.

    Raises:
        FileNotFoundError: As ``Predictor`` does.
        ValueError: Likewise.
    """
    config = deepcopy(config) if isinstance(config, Config) else Config.fromfile(config)
    config.merge_from_dict(dict(options or {}))
    apply_variables(config)
    model = Predictor(config, checkpoint, device).model
    return model, open_loader(model, config.test_dataloader)


def open_loader(model: DCPCLIP, dataloader: Mapping) -> DataLoader:
    """Build a test loader and give its words to a model.

    Args:
        model: Gets the words.
        dataloader: As ``test_dataloader`` in a config.
    """
    loader = Runner.build_dataloader(deepcopy(dataloader))
    model.set_vocabulary(dataset_vocabulary(loader.dataset))
    return loader
