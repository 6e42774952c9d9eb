"""Which words a dataset is about."""

from typing import Any

from torch.utils.data import Dataset

from ..vocabulary import Vocabulary


def datasets_inside(dataset: Any) -> list[Any]:
    """What a wrapper (``RepeatDataset``, ``ConcatDataset``) is around; else nothing."""
    inner = getattr(dataset, 'dataset', None)
    return list(getattr(dataset, 'datasets', ())) if inner is None else [inner]


def dataset_vocabularies(dataset: Dataset) -> list[Vocabulary]:
    """The words of a dataset, or those of each dataset inside, without repeats.

    Args:
        dataset: One of this package, of mmseg, or a wrapper around such.

    Returns:
        list[Vocabulary]: Each in the order of the labels' ids.
    """
    found: Any = dataset
    if hasattr(found, 'vocabulary'):
        return [found.vocabulary]
    if not hasattr(found, 'METAINFO'):
        return list(dict.fromkeys(words for one in datasets_inside(dataset)
                                  for words in dataset_vocabularies(one)))
    meta = found.metainfo
    return [Vocabulary(meta['classes'], palette=meta.get('palette'))]


def dataset_vocabulary(dataset: Dataset) -> Vocabulary:
    """The words of a dataset that has one vocabulary.

    Args:
        dataset: See ``dataset_vocabularies``.

    Returns:
        Vocabulary: The words, in the order of the labels' ids.

    Raises:
        ValueError: There are datasets of different words inside.
    """
    first, *others = dataset_vocabularies(dataset)
    if others:
        raise ValueError(
            f'the dataset has pictures of {1 + len(others)} vocabularies ({first!r}, '
            f'{others[0]!r}), whose scores have no common table: test on one after the '
            "other, with test_cfg=dict(type='BenchmarksTestLoop')")
    return first
