"""Segmentation scores from integer pixel counts, by both rules in use.

*GT-present* averages the IoU over the classes that have ground-truth pixels, as
detectron2 does since July 2022: pixels predicted as an absent class hurt the true
class only. *Union* averages over the classes with ground truth or any prediction
on a labelled pixel, as mmseg's IoUMetric does: a predicted absent class counts 0.
"""

import numpy as np
import torch
from torch import Tensor


def count_pixels(pred: Tensor, label: Tensor, num_classes: int,
                 ignore_index: int) -> Tensor:
    """Count the pixels of each class in one image, without rounding.

    Predictions outside [0, num_classes) belong to no class: they only miss.

    Args:
        pred: Integer predictions, [H, W].
        label: Integer ground truth, [H, W]; every value is a class id or
            ``ignore_index``.
        num_classes: Number of classes C.
        ignore_index: Label value of the pixels not counted.

    Returns:
        Tensor: int64 [3, C] on the CPU: pixels predicted right, pixels predicted as
        the class, and ground-truth pixels.
    """
    labelled = label != ignore_index
    pred, label = pred[labelled].long(), label[labelled].long()
    inside = (pred >= 0) & (pred < num_classes)
    return torch.stack([
        torch.bincount(ids, minlength=num_classes)
        for ids in (label[pred == label], pred[inside], label)
    ]).cpu()


def class_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Score each class.

    Args:
        counts: int64 [3, C], as ``count_pixels``.

    Returns:
        dict: ``IoU`` and ``Acc``, float64 [C] in 0..1; nan where the denominator is 0.
    """
    right, predicted, truth = counts
    with np.errstate(divide='ignore', invalid='ignore'):
        return dict(IoU=right / (predicted + truth - right), Acc=right / truth)


def harmonic_mean(first: float, second: float) -> float:
    """Harmonic mean; 0 if both are 0, nan if one is nan."""
    total = first + second
    return 0.0 if total == 0 else 2 * first * second / total


def summarize(counts: np.ndarray,
              seen: np.ndarray | None = None) -> dict[str, float]:
    """Average the class scores by both rules.

    Args:
        counts: int64 [3, C], as ``count_pixels``.
        seen: Classes trained on, bool [C].

    Returns:
        dict: In 0..1: ``aAcc`` and ``mAcc``; ``mIoU`` by the
        GT-present rule and ``mIoU_union``; with ``seen`` also ``seen_mIoU``,
        ``unseen_mIoU`` and their harmonic mean ``hIoU``, and the same with
        ``_union``. nan where no class takes part.
    """
    right, predicted, truth = counts
    scores = class_scores(counts)

    def mean_over(values: np.ndarray, chosen: np.ndarray) -> float:
        return float(values[chosen].mean()) if chosen.any() else float('nan')

    present = truth > 0
    pixels = int(truth.sum())
    summary = dict(
        aAcc=int(right.sum()) / pixels if pixels else float('nan'),
        mAcc=mean_over(scores['Acc'], present))
    rules = {'': present, '_union': (truth + predicted) > 0}
    for suffix, counted in rules.items():
        summary[f'mIoU{suffix}'] = mean_over(scores['IoU'], counted)
        if seen is not None:
            for part, members in (('seen', seen), ('unseen', ~seen)):
                summary[f'{part}_mIoU{suffix}'] = mean_over(
                    scores['IoU'], counted & members)
            summary[f'hIoU{suffix}'] = harmonic_mean(
                summary[f'seen_mIoU{suffix}'], summary[f'unseen_mIoU{suffix}'])
    return summary
