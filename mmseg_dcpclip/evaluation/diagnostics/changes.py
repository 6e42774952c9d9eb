"""What changes of a config do to mIoU, over several test sets."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader

from ...models import DCPCLIP
from ..scores import count_pixels, summarize
from .pictures import SCORES, ignore_index_of, labelled_pictures

SUMS = ('pictures', 'regions', 'renamed', 'right_before', 'right_after')
MEANS = ('recall', 'selected', 'IoU', 'covered', *SCORES)


@torch.no_grad()
def score_row(model: DCPCLIP, loader: DataLoader, seen: np.ndarray | None,
              pictures: int | None = None) -> dict:
    """Scores of the predictions on a test set.

    Args:
        model: With the words of the test set.
        loader: Of the test set.
        seen: Which categories were trained on, bool [C], or None.
        pictures: No more than these.

    Returns:
        dict: ``pictures``, ``seconds`` (of the median prediction), ``mIoU`` and with
        ``seen`` also ``seen_mIoU`` and ``unseen_mIoU``, in percent by the GT-present
        rule.

    Raises:
        ValueError: No picture has a label.
    """
    num_classes, ignored = len(model.vocabulary), ignore_index_of(loader)
    counts = torch.zeros(3, num_classes, dtype=torch.long)
    count, seconds = 0, []
    for image, sample, label in labelled_pictures(model, loader, pictures):
        count += 1
        start = time.perf_counter()
        found = model.predict(image, [sample])[0].pred_sem_seg.data[0]
        seconds.append(time.perf_counter() - start)
        counts += count_pixels(found, label, num_classes, ignored)
    scores = summarize(counts.numpy(), seen)
    return dict(pictures=count, seconds=float(np.median(seconds)), **{
        key: 100 * scores[key] for key in SCORES if key in scores})


def join_rows(sets: Sequence[Sequence[dict]]) -> list[dict]:
    """Rows of the same measurement on several test sets, as one.

    Args:
        sets: The rows of each set; they differ in their figures only.

    Returns:
        list: Pictures and regions are sums, scores are means over the sets.
    """
    joined = []
    for rows in zip(*sets, strict=True):
        own = dict(rows[0])
        for key in own:
            if key in SUMS:
                own[key] = sum(row[key] for row in rows)
            elif key in MEANS:
                own[key] = sum(row[key] for row in rows) / len(rows)
        joined.append(own)
    return joined
