"""Several datasets with words of their own."""

import pytest
import torch
from data_trees import make_own_tree
from mmengine.dataset import ConcatDataset, pseudo_collate
from mmseg.registry import DATASETS

from mmseg_dcpclip.datasets import (
    OVConcatDataset,
    dataset_vocabularies,
    dataset_vocabulary,
)
from mmseg_dcpclip.models.segmentors.samples import group_by_words


@pytest.fixture
def parts(tmp_path):
    """Settings of two datasets with other names for the same ids."""
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
                dict(type='PackSegInputs')]
    return [dict(
        type='TextVocabDataset', vocabulary='classes.txt', pipeline=pipeline,
        data_root=str(make_own_tree(tmp_path / name, names=words)),
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'))
        for name, words in (('a', ('cat', 'dog', 'cow')), ('b', ('sky', 'sea', 'sun')))]


def test_each_picture_has_its_own_words(parts):
    both = DATASETS.build(dict(type='OVConcatDataset', datasets=parts))
    first, second = dataset_vocabularies(both)
    assert (first.names, second.names) == (
        ('cat', 'dog', 'cow'), ('sky', 'sea', 'sun'))
    batch = pseudo_collate([both[i] for i in (0, 2, 1, 3)])['data_samples']
    assert group_by_words(first, batch) == [(first, [0, 2]), (second, [1, 3])]
    # Ids are those of each dataset.
    for sample in batch:
        assert torch.equal(sample.gt_sem_seg.data.unique(), torch.tensor([0, 2, 255]))


def test_scores_need_one_vocabulary(parts):
    both = OVConcatDataset(parts)
    with pytest.raises(ValueError, match='2 vocabularies .*BenchmarksTestLoop'):
        dataset_vocabulary(both)
    same = OVConcatDataset([parts[0], parts[0]])
    assert dataset_vocabulary(same).names == ('cat', 'dog', 'cow')


def test_refused(parts):
    with pytest.raises(ValueError, match='meta information'):
        ConcatDataset(parts)  # of mmengine, which has no way
    with pytest.raises(ValueError, match='ignore_index=255, TextVocab.* 65535.*higher'):
        OVConcatDataset([parts[0], dict(parts[1], ignore_index=65535)])
    stock = dict(type='BaseSegDataset', lazy_init=True, metainfo=dict(classes=['a']))
    with pytest.raises(ValueError, match='BaseSegDataset does not say .*Mixin'):
        OVConcatDataset([parts[0], dict(stock)], lazy_init=True)
