"""Configs and checkpoints for a model."""

from pathlib import Path

from mmengine.config import Config
from torch import nn

from .. import catalogue
from ..models.weight_routes import naming, read_checkpoint
from ..models.weights import fit_weights
from ..shipped import config_path, find_config
from .hub import find_folder, is_hub_model, read_folder

NO_CHECKPOINT = 'none'  # CLIP's own weights only


def find_model(config: str | Path | Config, checkpoint: str | Path | None = None
               ) -> tuple[Config, str | Path | None]:
    """The config and the weights that are meant.

    Args:
        config: As ``Predictor`` takes it.
        checkpoint: Likewise.

    Returns:
        tuple: The config, and its weights; None for CLIP's only.

    Raises:
        FileNotFoundError: There is no such config, or a folder lacks a file.
        ValueError: A saved model cannot be read.
        RuntimeError: A saved model cannot be downloaded.
    """
    own: Path | None = None
    if not isinstance(config, Config):
        if is_hub_model(config):
            config, own = read_folder(find_folder(config))
        else:
            path = find_config(config)
            config, own = Config.fromfile(path), _shipped_weights(path)
    chosen = own if checkpoint is None else checkpoint
    return config, None if str(chosen) == NO_CHECKPOINT else chosen


def own_weights(config: str | Path) -> Path | None:
    """The weights saved with a model or shipped for a config; None: there are none.

    Args:
        config: As ``Predictor`` takes it.

    Raises:
        As ``find_model`` does.
    """
    if is_hub_model(config):
        return read_folder(find_folder(config))[1]
    return _shipped_weights(find_config(config))


def _shipped_weights(config: Path) -> Path | None:
    """Trained weights that the package ships for a config, if it is one of its own."""
    weights = catalogue.TRAINED_WEIGHTS.get(config.stem)
    if weights is None or not config.samefile(config_path(config.stem)):
        return None
    return weights


def load_weights(model: nn.Module, checkpoint: str | Path, *, left_over: bool = False
                 ) -> None:
    """Load a checkpoint, all of it or nothing.

    Args:
        model: A ``DCPCLIP``, or parts of one in a ``ModuleDict``.
        checkpoint: A file or a URL.
        left_over: Whether it may hold more than the model.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, or one of another model.
    """
    content = read_checkpoint(checkpoint)
    with naming(checkpoint):
        model.load_state_dict(fit_weights(model.state_dict(), content,
                                          left_over=left_over))
