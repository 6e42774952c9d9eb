"""The measurements of regions, by hand."""

import pytest
import torch
from toys import WORDS, ToyLoader, toy_model, toy_samples

from mmseg_dcpclip.evaluation.diagnostics import (
    labelled_pictures,
    main_value,
    region_rights,
    repaired,
    seen_by,
    tag_rows,
)


def test_region_rights_by_hand():
    old = torch.tensor([[1, 1, 1, 2, 2], [3, 3, 4, 4, 4]])
    new = torch.tensor([[5, 5, 5, 2, 2], [6, 6, 7, 7, 7]])
    label = torch.tensor([[5, 5, 1, 2, 2], [255, 255, 4, 4, 255]])
    # 1 becomes right, 2 stays, 3 has no label, 4 was right
    assert region_rights(old, new, label, [1, 2, 3, 4], 255).tolist() == [3, 1, 1]
    assert region_rights(old, new, label, [2], 255).tolist() == [0, 0, 0]


def test_repaired_by_hand():
    pred = torch.tensor([[1, 1, 1, 2, 2], [1, 3, 3, 3, 9]])
    label = torch.tensor([[5, 5, 5, 5, 2], [255, 3, 3, 2, 255]])
    maps = repaired(pred, label, torch.tensor([1, 2, 3]), 255)
    assert maps['as predicted'] is pred
    # 5 was not selected
    assert maps['true selection'].tolist() == [[5, 5, 5, 5, 2], [1, 3, 3, 3, 9]]
    # three of four pixels of 5 are called 1; of the two of 2 one is 2, one is 3
    masks = maps['true masks']
    assert masks[0, :4].tolist() == [1] * 4 and masks[1, 1:3].tolist() == [3, 3]
    assert masks[0, 4] == masks[1, 3] and masks[1, [0, 4]].tolist() == [255, 255]
    # 1 is 5 where labelled, 3 is mostly 3, and 9 has no labelled pixel
    names = maps['true names']
    assert names[0, :3].tolist() == [5] * 3 and names[1, 0] == 5
    assert names[0, 3] == names[0, 4] and names[1, 1:].tolist() == [3, 3, 3, 9]


def test_main_value():
    values = torch.tensor([[1, 2, 2], [3, 3, 3]])
    assert main_value(values, values > 0) == 3
    assert main_value(values, values < 3) == 2
    assert main_value(values, values > 3) is None


def test_pictures_without_labels_are_left_out():
    model = toy_model().eval()
    first, second = toy_samples([(32, 32), (48, 32)]), toy_samples([(32, 32)], seed=1)
    first['data_samples'][0].gt_sem_seg.data.fill_(255)
    loader = ToyLoader(first, second)
    found = list(labelled_pictures(model, loader))
    assert [tuple(label.shape) for _, _, label in found] == [(48, 32), (32, 32)]
    assert all(image.shape == (1, 3, *label.shape) for image, _, label in found)
    assert len(list(labelled_pictures(model, loader, 1))) == 1
    for sample in (*first['data_samples'], *second['data_samples']):
        sample.gt_sem_seg.data.fill_(255)
    with pytest.raises(ValueError, match='no picture of the test set'):
        list(labelled_pictures(model, loader))


def test_seen_of_a_metric():
    own = dict(type='OVIoUMetric', seen=['Red dots', 'green grid'])
    assert seen_by(own, WORDS).tolist() == [True, False, True, False, False]
    assert seen_by(dict(own, seen=None), WORDS) is None
    assert seen_by(dict(type='IoUMetric'), WORDS) is None


def test_the_model_is_left_as_it_was():
    model = toy_model(tag_validation=dict(seen=WORDS[:2], top_k=1)).eval()
    own = model.test_cfg, model.tag_validation
    rows = tag_rows(model, ToyLoader(toy_samples([(32, 32)])), [1, 5])
    assert [row['top_k'] for row in rows] == [None, 1, 5]
    assert rows[0]['renamed'] == rows[2]['renamed'] == 0  # 5 is all there are
    assert (model.test_cfg, model.tag_validation) == own
    with pytest.raises(ValueError, match='top_k must be at least 1'):
        tag_rows(model, ToyLoader(toy_samples([(32, 32)])), [0])
    assert (model.test_cfg, model.tag_validation) == own
