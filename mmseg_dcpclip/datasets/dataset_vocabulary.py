"""Which words a dataset is about."""

from typing import Any

from torch.utils.data import Dataset

from ..vocabulary import Vocabulary


def dataset_vocabulary(dataset: Dataset) -> Vocabulary:
    """The words of a dataset: its ``vocabulary``, or its metainfo's classes.

    Wrappers (``RepeatDataset``, ``ConcatDataset``) are looked into.

    Args:
        dataset: One of this package, of mmseg, or a wrapper around such.

    Returns:
        Vocabulary: The words, in the order of the labels' ids.
    """
    found: Any = dataset
    while not hasattr(found, 'vocabulary') and not hasattr(found, 'METAINFO'):
        inner = getattr(found, 'dataset', None)
        found = found.datasets[0] if inner is None else inner
    if hasattr(found, 'vocabulary'):
        return found.vocabulary
    meta = found.metainfo
    return Vocabulary(meta['classes'], palette=meta.get('palette'))
