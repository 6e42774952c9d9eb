"""Checkpoints as files: reading one, and the config that belongs to it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import nn

from ..models.weights import WeightsError, fit_weights


def read_checkpoint(path: str | Path) -> Mapping[str, Any]:
    """Read a checkpoint.

    Args:
        path: A file or a URL.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint.
    """
    if '://' not in str(path) and not Path(path).is_file():
        raise FileNotFoundError(f'no such checkpoint: {path}')
    try:
        checkpoint = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    except Exception as error:  # torch raises many kinds on broken files
        raise ValueError(f'{path} is no checkpoint: {error}') from error
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f'{path} is no checkpoint: it holds a '
                         f'{type(checkpoint).__name__}')
    return checkpoint


def trained_with(checkpoint: Mapping[str, Any]) -> str | None:
    """Name of the config that mmengine noted in a checkpoint."""
    meta = checkpoint.get('meta')
    name = meta.get('experiment_name') if isinstance(meta, Mapping) else None
    return re.sub(r'_\d{8}_\d{6}$', '', name) if isinstance(name, str) else None


@contextmanager
def naming(path: str | Path | None) -> Iterator[None]:
    """Let what is said of weights that do not fit name file and config.

    Args:
        path: The checkpoint that is loaded inside; None: none, or not known.

    Raises:
        WeightsError: As raised inside, with more to say.
    """
    try:
        yield
    except WeightsError as error:
        if path is None:
            raise
        config = trained_with(read_checkpoint(path))
        hint = f' (trained with the config {config})' if config else ''
        raise WeightsError(f'{path}{hint}: {error}') from error


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
