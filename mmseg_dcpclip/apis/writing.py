"""Writes a prediction as pictures."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.labels import write_label
from ..files import write_atomic


def write_prediction(folder: Path, stem: str, seg_map: np.ndarray, drawn: Image.Image,
                     wide: bool, beside: Path | None = None) -> tuple[Path, Path]:
    """Write a label map and its drawing; half-written files never stay.

    Args:
        folder: Is made if need be.
        stem: Name of the picture, with folders of its own or without.
        seg_map: Category ids, [H, W].
        drawn: From ``Predictor.draw``.
        wide: Whether to write 16 bits instead of 8.
        beside: Folder for what is not yet whole, as of ``atomic``.

    Returns:
        tuple: Paths of ``<stem>_labels.png`` and ``<stem>_overlay.png``.
    """
    labels, overlay = folder / f'{stem}_labels.png', folder / f'{stem}_overlay.png'
    labels.parent.mkdir(parents=True, exist_ok=True)
    write_label(labels, seg_map, wide, beside)
    content = io.BytesIO()
    drawn.save(content, format='PNG')
    write_atomic(overlay, content.getvalue(), beside)
    return labels, overlay
