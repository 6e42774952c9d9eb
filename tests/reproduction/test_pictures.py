"""Which pictures a contact sheet shows."""

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.datasets import dataset_vocabulary
from mmseg_dcpclip.reproduction import pictures
from mmseg_dcpclip.shipped import config_path


class Data:
    """Three pictures; only the last one shows category 1."""
    vocabulary = Vocabulary(['a', 'b'])

    def __len__(self):
        return 3

    def __getitem__(self, index):
        label = torch.zeros(1, 8, 8, dtype=torch.long)
        label[..., 0] = 65535  # ignored
        label[..., 1] = index == 2
        sample = SegDataSample(gt_sem_seg=PixelData(data=label),
                               metainfo=dict(img_path='none'))
        return dict(index=index, data_samples=sample,
                    inputs=torch.zeros(3, 8, 8, dtype=torch.uint8))


def test_pictures_with_unseen_categories():
    for seen, count, expected in (([True, False], 2, [2]), ([True, True], 2, []),
                                  ([False, False], 2, [0, 1])):
        chosen = pictures.with_unseen(Data(), np.array(seen), count, 3)
        assert [index for index, _ in chosen] == expected
    assert not pictures.with_unseen(Data(), np.array([True, False]), 2, 2)


def test_pictures_that_tag_validation_changes_come_first(monkeypatch):
    class Model:
        """Predicts 0, or 1 on some pixels; picture 2 differs most."""

        def __init__(self, changes):
            self.changes = changes
            self.config = Config.fromfile(config_path('dcpclip_mini'))

    def predict(model, item, words):
        label = np.zeros((8, 8), int)
        if model.changes:
            label.flat[:item['index'] + 1] = 1
        return label

    monkeypatch.setattr(pictures, 'predict', predict)
    models = {'without': Model(False), 'with': Model(True)}
    words = dataset_vocabulary(Data())
    chosen = pictures.choose('tv', models, Data(), words, 1, 3)
    rows = pictures.draw_rows('toy', models, chosen, words)
    assert [caption for caption, _ in rows] == ['toy 2']
    assert len(rows[0][1]) == 4
