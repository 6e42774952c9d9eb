"""A prediction as files and as a record."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from ...datasets.labels import needs_16_bits, write_label
from ...datasets.pictures import ImageLike, decode_picture, load_image
from ...vocabulary import Vocabulary
from ..overlay import draw_overlay
from ..writing import write_prediction
from .records import LABELS, OVERLAY, PictureRecord


@dataclass
class Masks:
    """Writes predictions.

    Attributes:
        folder: Where to.
        vocabulary: The words.
        none_id: Id of pixels of no category, or None.
        draw: Whether to write a drawing beside each label map.
        beside: Folder for what is not yet whole.
    """
    folder: Path
    vocabulary: Vocabulary
    none_id: int | None = None
    draw: bool = False
    beside: Path | None = None

    @property
    def wide(self) -> bool:
        """bool: Whether label maps have 16 bits."""
        return needs_16_bits(len(self.vocabulary), self.none_id)

    @property
    def endings(self) -> tuple[str, ...]:
        """tuple: Of the names of what is written."""
        return (LABELS, OVERLAY) if self.draw else (LABELS, )

    def taken_off(self, result: SegDataSample
                  ) -> tuple[np.ndarray, list[tuple[int, float, float]]]:
        """What is kept of a prediction: its label map [H, W], and its words."""
        seg_map = result.pred_sem_seg.data[0]
        words = word_shares(seg_map, result.pred_probability.data[0])
        if self.wide:  # older versions of torch have no uint16
            return seg_map.to(torch.int32).cpu().numpy().astype(np.uint16), words
        return seg_map.to(torch.uint8).cpu().numpy(), words

    def write(self, name: str, stem: str, seg_map: np.ndarray,
              words: list[tuple[int, float, float]],
              picture: ImageLike | bytes | None = None) -> PictureRecord:
        """Write a prediction.

        Args:
            name: Of the picture.
            stem: Relative path, without an ending, of what is written.
            seg_map: Category ids [H, W].
            words: As of ``word_shares``.
            picture: What is drawn over, where drawings are wanted.
        """
        if self.draw and picture is not None:
            pixels = (decode_picture(picture, name) if isinstance(picture, bytes)
                      else load_image(picture))
            write_prediction(self.folder, stem, seg_map, draw_overlay(
                pixels, seg_map, self.vocabulary, none_id=self.none_id), self.wide,
                self.beside)
        else:
            path = self.folder / f'{stem}{LABELS}'
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label(path, seg_map, self.wide, self.beside)
        return PictureRecord(name, stem, words)


def word_shares(seg_map: Tensor, probability: Tensor) -> list[tuple[int, float, float]]:
    """The words in a label map, the largest share first.

    Args:
        seg_map: Category ids, int64 [H, W].
        probability: Of the category of each pixel, [H, W].

    Returns:
        list: Id, share of the pixels, and score: the largest probability among the
        pixels of the id.
    """
    ids, place, counts = seg_map.flatten().unique(return_inverse=True,
                                                  return_counts=True)
    scores = probability.new_zeros(len(ids)).scatter_reduce(
        0, place, probability.flatten(), 'amax')
    rows = zip(ids.tolist(), counts.tolist(), scores.tolist())
    return sorted(((i, round(n / seg_map.numel(), 6), round(score, 4))
                   for i, n, score in rows), key=lambda row: (-row[1], row[0]))
