"""Datasets with words of their own, one after the other."""

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import ConcatDataset
from mmseg.registry import DATASETS

# What datasets of different words differ in.
OWN_KEYS = ['classes', 'palette', 'vocabulary_digest', 'reduce_zero_label', 'label_map',
            'dataset_name']


@DATASETS.register_module()
class OVConcatDataset(ConcatDataset):
    """Trains on several datasets, each picture with the words of its own dataset.

    mmengine's ``ConcatDataset`` refuses datasets of different classes. Here ids keep
    their meaning within each dataset, as its samples say whose words they have, so no
    merged vocabulary is needed. The ignore index must be the same in all of them.

    Args:
        datasets: As in mmengine; each a dataset with a ``vocabulary``.
        **kwargs: As in mmengine.

    Raises:
        ValueError: A dataset has no words of its own, or the ignore indices differ.
    """

    def __init__(self, datasets: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(datasets, ignore_keys=OWN_KEYS, **kwargs)
        for dataset in self.datasets:
            name = type(dataset).__name__
            if not hasattr(dataset, 'vocabulary'):
                raise ValueError(f'{name} does not say whose words its pictures have: '
                                 'give it a vocabulary with OpenVocabMixin')
            first = self.datasets[0].ignore_index
            if dataset.ignore_index != first:
                raise ValueError(
                    f'{type(self.datasets[0]).__name__} has ignore_index={first}, '
                    f'{name} {dataset.ignore_index}: a model knows one; set the higher '
                    'one in all')
