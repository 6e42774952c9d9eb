"""Checkpoints for a model."""

from pathlib import Path

from torch import nn

from ..models.weight_routes import naming, read_checkpoint
from ..models.weights import fit_weights


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
