"""Where a model loses mIoU: selection, names or masks.

Each row repairs one thing with the help of the ground truth and leaves the rest as the
model predicted it:

    true selection  pixels of categories that were not selected become right
    true masks      each true region takes the category that most of its pixels got
    true names      each predicted region takes the category that most of its pixels
                    have

A region is all pixels of one category in one picture.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmseg.registry import METRICS
from torch import Tensor
from torch.utils.data import DataLoader

from ...models import DCPCLIP
from ...vocabulary import match_names
from ..ov_iou_metric import OVIoUMetric
from ..scores import count_pixels, summarize
from .pictures import SCORES, ignore_index_of, labelled_pictures, main_value


def rename_regions(regions: Tensor, names: Tensor, counted: Tensor) -> Tensor:
    """Give each region the most frequent name of its counted pixels.

    Args:
        regions: int64 [H, W]; pixels of one value are a region.
        names: int64 [H, W].
        counted: bool [H, W].

    Returns:
        Tensor: int64 [H, W]. A region without counted pixels keeps its value.
    """
    renamed = regions.clone()
    for region in regions[counted].unique():
        inside = regions == region
        name = main_value(names, inside & counted)
        if name is not None:
            renamed[inside] = name
    return renamed


def repaired(pred: Tensor, label: Tensor, selected: Tensor, ignore_index: int
             ) -> dict[str, Tensor]:
    """The prediction and its repaired forms.

    Args:
        pred: int64 [H, W].
        label: int64 [H, W].
        selected: Ids of the selected categories, int64 [C_s].
        ignore_index: Label that is no category.

    Returns:
        dict: Maps int64 [H, W] by the names of the rows.
    """
    counted = label != ignore_index
    missed = counted & ~torch.isin(label, selected)
    return {
        'as predicted': pred,
        'true selection': torch.where(missed, label, pred),
        'true masks': rename_regions(label, pred, counted),
        'true names': rename_regions(pred, label, counted)}


def seen_by(evaluator: Mapping, names: Sequence[str]) -> np.ndarray | None:
    """Which names a test's metric counts as seen.

    Args:
        evaluator: A config's ``test_evaluator``.
        names: Of the test set.

    Returns:
        np.ndarray: bool [C]; None where the metric does not tell seen from unseen.
    """
    metric = METRICS.build(evaluator)
    if not isinstance(metric, OVIoUMetric) or metric.seen is None:
        return None
    return match_names(names, metric.seen.names, metric.match)


@torch.no_grad()
def error_rows(model: DCPCLIP, loader: DataLoader, seen: np.ndarray | None,
               pictures: int | None = None) -> list[dict]:
    """Scores of the predictions and of their repaired forms.

    The model runs once per picture.

    Args:
        model: With the words of the test set.
        loader: Of the test set.
        seen: Which categories were trained on, bool [C], or None.
        pictures: No more than these.

    Returns:
        list: Rows with ``repaired`` (what), ``pictures``, ``mIoU`` and with ``seen``
        also ``seen_mIoU`` and ``unseen_mIoU``, in percent by the GT-present rule.

    Raises:
        ValueError: No picture has a label.
    """
    num_classes, ignored = len(model.vocabulary), ignore_index_of(loader)
    pixels: dict[str, Tensor] = {}
    count = 0
    for image, sample, label in labelled_pictures(model, loader, pictures):
        count += 1
        result = model.predict(image, [sample])[0]
        selected = label.new_tensor(result.selected_categories)
        maps = repaired(result.pred_sem_seg.data[0], label, selected, ignored)
        for name, own in maps.items():
            counts = count_pixels(own, label, num_classes, ignored)
            pixels[name] = pixels.get(name, 0) + counts
    rows = []
    for name, counts in pixels.items():
        scores = summarize(counts.numpy(), seen)
        rows.append(dict(repaired=name, pictures=count, **{
            key: 100 * scores[key] for key in SCORES if key in scores}))
    return rows
