"""Whether an exported graph gives what the model gives, and how long both take."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn

from ..models.segmentors.static import StaticDCPCLIP
from ..models.structures import first_equal
from ..vocabulary import Vocabulary
from .onnx_maps import ViewsOf, merge_views, resize
from .onnx_predictor import OnnxPredictor
from .predictor import Predictor

TOLERANCE = 1e-4  # of logits


@dataclass
class Parity:
    """A comparison over some pictures.

    Attributes:
        words: Number of categories.
        pictures: Number of pictures.
        full: Those of which the model selects K categories, as many as the graph takes,
            or more: their label maps are compared with those of the model that may take
            these K alone.
        selections: Those of which graph and model select other categories.
        logits: Largest difference of a logit, over all other pictures.
        pixels: Pixels with another label.
        ties: Of these, those whose two best maps are no farther apart than twice
            ``TOLERANCE``.
        seconds: Of a picture in PyTorch, the median.
        onnx_seconds: In onnxruntime, likewise.
    """
    words: int
    pictures: int = 0
    full: int = 0
    selections: int = 0
    logits: float = 0.0
    pixels: int = 0
    ties: int = 0
    seconds: float = 0.0
    onnx_seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """bool: Whether graph and model are the same but for rounding."""
        return (self.logits <= TOLERANCE and not self.selections
                and self.pixels == self.ties)


@torch.no_grad()
def compare(predictor: Predictor, other: OnnxPredictor, pictures: Iterable[np.ndarray],
            words: Vocabulary) -> Parity:
    """Compare a model with its export, picture by picture, in turn.

    Args:
        predictor: Of the model.
        other: Of the export.
        pictures: RGB, uint8 [H, W, 3].
        words: The words.
    """
    most = other.about['max_selected']
    static = StaticDCPCLIP(predictor.model, most,
                           other.about['views']['mode'] == 'slide').eval()
    result = Parity(len(words))
    both: tuple[Any, Any] = (predictor, other)
    seconds: tuple[list[float], list[float]] = ([], [])
    for picture in pictures:
        own, found = (_timed(partial(each.predict, picture, words), times)
                      for each, times in zip(both, seconds))
        result.pictures += 1
        views = other.views_of(picture)
        difference, logits, ids = _network(predictor, static, other, views, words)
        if difference is None:
            result.selections += 1
            continue
        result.logits = max(result.logits, difference)
        if len(ids) == most:
            result.full += 1
            with _limited(predictor.model, ids):
                own = predictor.predict(picture, words)
        labels = [np.asarray(sample.pred_sem_seg.data)[0] for sample in (own, found)]
        other_label = labels[0] != labels[1]
        result.pixels += int(other_label.sum())
        if other_label.any():
            maps = resize(merge_views(logits, views, other.about['activation']),
                          picture.shape[:2])
            best = np.sort(maps, 0)[-2:]
            gap = best[-1] - best[0]
            result.ties += int((gap[other_label] <= 2 * TOLERANCE).sum())
    result.seconds, result.onnx_seconds = (float(np.median(t)) for t in seconds)
    return result


def _network(predictor: Predictor, static: StaticDCPCLIP, other: OnnxPredictor,
             views: ViewsOf, words: Vocabulary
             ) -> tuple[float | None, np.ndarray, np.ndarray]:
    """The largest difference of the graph's logits to those of PyTorch from the same
    inputs, None where other categories are selected; the graph's logits and ids."""
    own, _ = predictor.model.vocabulary, predictor.model.set_vocabulary(words)
    try:
        queries = predictor.model.queries
    finally:
        predictor.model.set_vocabulary(own)
    # Both take the words of the file: the model encoded them beside others, and in half
    # precision the last bit of a template shows.
    text = other.embeddings(queries)
    logits, ids = other.logits(views.pictures, text)
    mean = torch.from_numpy(text.mean)
    inputs: list[Any] = [torch.from_numpy(views.pictures), mean, first_equal(mean)]
    if static.uses_templates:
        inputs.append(torch.from_numpy(text.templates))
    wanted, wanted_ids = static(*inputs)
    there = ids[0] >= 0
    same = np.array_equal(ids, wanted_ids.numpy())
    difference = float(np.abs(logits - wanted.numpy()).max()) if same else None
    return difference, logits[:, there], ids[0][there]


class _Limited(nn.Module):
    """A selection of which only some categories may stay."""

    def __init__(self, selection: Any, ids: np.ndarray) -> None:
        super().__init__()
        self.selection = selection
        self.ids = torch.from_numpy(ids)
        self.with_mean_attention = getattr(selection, 'with_mean_attention', False)

    def forward(self, *inputs: Any) -> torch.Tensor:
        """As of the selection."""
        selected = self.selection(*inputs)
        stays = torch.zeros_like(selected)
        stays[:, self.ids] = True
        return selected & stays


@contextmanager
def _limited(model: Any, ids: np.ndarray) -> Iterator[None]:
    """A model that may select these ids alone, for some time."""
    own = model.selection
    try:
        model.selection = _Limited(own, ids)
        yield
    finally:
        model.selection = own


def _timed(call: Callable[[], Any], seconds: list[float]) -> Any:
    start = perf_counter()
    result = call()
    seconds.append(perf_counter() - start)
    return result
