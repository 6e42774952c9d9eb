"""Words asked for one by one."""

import pytest
import torch
from mmengine.structures import PixelData
from toys import ToyLoader, toy_model, toy_samples

from mmseg_dcpclip.evaluation.diagnostics import single_word_rows


def test_rows_by_hand(monkeypatch):
    """A word is given its own probability everywhere."""
    model = toy_model(vocabulary=['first', 'second', 'third']).eval()
    batch = toy_samples([(8, 10)])
    label = torch.zeros(1, 8, 10, dtype=torch.long)
    label[:, 2:] = 1
    label[:, 7:] = 255  # two rows of the first word, five of the second
    batch['data_samples'][0].gt_sem_seg.data = label
    known = dict(first=0.9, second=0.5, third=0.3)

    def predict(inputs, samples):
        assert 'vocabulary_digest' not in samples[0].metainfo
        assert model.test_cfg['return_probability'] and model.tag_validation is None
        value = known[model.vocabulary.names[0]]
        samples[0].pred_probability = PixelData(data=torch.full((1, 8, 10), value))
        return samples

    monkeypatch.setattr(model, 'predict', predict)
    own = model.vocabulary, model.test_cfg, model.tag_validation
    low, middle, high = single_word_rows(model, ToyLoader(batch), [0.2, 0.4, 0.95])
    assert (model.vocabulary, model.test_cfg, model.tag_validation) == own
    # 20 and 50 of 70 labelled pixels
    assert low['IoU'] == middle['IoU'] == pytest.approx(50.0)
    assert (low['covered'], middle['covered']) == (100, 0) and low['pictures'] == 1
    assert high['IoU'] == high['covered'] == 0


def test_none_is_absent():
    model = toy_model(vocabulary=['one']).eval()
    batch = toy_samples([(32, 32)])
    batch['data_samples'][0].gt_sem_seg.data.fill_(0)
    with pytest.raises(ValueError, match='there is none to be absent'):
        single_word_rows(model, ToyLoader(batch), [0.5])
    assert model.vocabulary.names == ('one', )
