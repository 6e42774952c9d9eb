"""Boundary IoU: how well predicted and true borders lie on each other."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def inner_boundary(seg_map: Tensor, width: int) -> Tensor:
    """Pixels of a label map that lie near the border of their own region.

    Args:
        seg_map: Integers below 2 ** 24 in size, [H, W].
        width: Pixels from the border that count; the image's own border is one.

    Returns:
        Tensor: bool [H, W].
    """
    outside = -2**24
    padded = F.pad(seg_map[None].float(), (width, ) * 4, value=outside)
    size = 2 * width + 1

    def highest(x: Tensor) -> Tensor:
        return F.max_pool2d(F.max_pool2d(x, (1, size), 1), (size, 1), 1)

    return (highest(padded) != -highest(-padded))[0]


def count_boundary_pixels(pred: Tensor, label: Tensor, num_classes: int,
                          ignore_index: int, ratio: float) -> Tensor:
    """Count the boundary pixels of each class in one image.

    The IoU of these counts is the boundary IoU (Cheng et al., arXiv 2103.16562, Eq. 2):
    of each mask only what lies within a distance of its border takes part.

    Args:
        pred, label, num_classes, ignore_index: As of ``count_pixels``.
        ratio: That distance as a share of the image's diagonal; at least one pixel.

    Returns:
        Tensor: int64 [3, C] on the CPU, as of ``count_pixels``.
    """
    width = max(1, round(ratio * math.hypot(*label.shape)))
    labelled = label != ignore_index
    near_pred = inner_boundary(pred, width) & labelled
    near_label = inner_boundary(label, width) & labelled
    near_pred &= (pred >= 0) & (pred < num_classes)
    both = near_pred & near_label & (pred == label)
    return torch.stack([
        torch.bincount(ids.long(), minlength=num_classes)
        for ids in (label[both], pred[near_pred], label[near_label])]).cpu()


def ask_for_boundaries(evaluator: dict[str, Any] | Sequence[dict[str, Any]],
                       ratio: float) -> None:
    """Let a config's evaluator score them.

    Args:
        evaluator: As ``test_evaluator``; changed.
        ratio: As of ``count_boundary_pixels``.

    Raises:
        ValueError: There is no OVIoUMetric in it.
    """
    metrics = [evaluator] if isinstance(evaluator, dict) else evaluator
    ours = [metric for metric in metrics if metric['type'] == 'OVIoUMetric']
    if not ours:
        raise ValueError('boundaries are scored by the OVIoUMetric, and the evaluator '
                         f'is {", ".join(metric["type"] for metric in metrics)}')
    for metric in ours:
        metric['boundary'] = ratio
