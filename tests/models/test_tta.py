"""Test-time augmentation against one prediction after the other."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from toys import WORDS, toy_forms, toy_model, toy_model_config

from mmseg_dcpclip.models import OVSegTTAModel, validate_tags
from mmseg_dcpclip.models.segmentors.tta import merge_selected


def test_merged_maps_equal_maps_of_all_categories():
    maps = [torch.rand(3, 4, 5), torch.rand(2, 4, 5), torch.rand(1, 4, 5)]
    ids = [[1, 4, 7], [0, 4], [9]]
    merged, found = merge_selected(maps, ids)
    full = torch.zeros(3, 10, 4, 5)
    for i, (own, categories) in enumerate(zip(maps, ids)):
        full[i, categories] = own
    assert found.tolist() == [0, 1, 4, 7, 9]
    torch.testing.assert_close(merged, full.mean(0)[found])


@torch.no_grad()
@pytest.mark.parametrize('test_cfg', [
    dict(mode='whole'), dict(mode='slide', crop_size=(24, 24), stride=(16, 16))])
@pytest.mark.parametrize('validation', [None, dict(seen=[WORDS[0]], top_k=1)])
def test_equals_the_mean_over_forms(test_cfg, validation):
    model = toy_model(seed=1, test_cfg=test_cfg, tag_validation=validation).eval()
    result, = OVSegTTAModel(model).eval().test_step(toy_forms())

    model.test_cfg = dict(test_cfg, return_logits=True, return_features=True)
    full = torch.zeros(3, len(WORDS), 32, 40)
    for i in range(3):
        data = toy_forms()
        sample = model.test_step({k: v[i] for k, v in data.items()})[0]
        full[i, sample.selected_categories] = sample.seg_logits.data
        if i == 0:
            features = sample.patch_features.data
    expected = full.mean(0).argmax(0)
    if validation:
        seen = torch.tensor([True] + [False] * 4)
        expected = validate_tags(expected, features, model.text_embeddings().mean, seen,
                                 top_k=1)
    agree = (result.pred_sem_seg.data[0] == expected).float().mean()
    assert agree > 0.999  # rounding may turn a tie
    assert result.pred_sem_seg.data.dtype == torch.int64
    assert 'seg_logits' not in result and 'gt_sem_seg' in result


def test_other_models_are_refused():
    with pytest.raises(ValueError, match='SegTTAModel'):
        OVSegTTAModel(dict(type='EncoderDecoder'))


def test_in_a_runner_with_hooks_and_a_checkpoint(tmp_path):
    """The words follow, the metric scores, all weights are asked for."""
    pipeline = [
        dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
        dict(type='TestTimeAug', transforms=[
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='PackSegInputs')]])]
    model = toy_model(vocabulary='mini-seen')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'm.pth')
    config = Config(dict(
        model=dict(type='OVSegTTAModel', module=toy_model_config(
            tag_validation=dict(seen='mini-seen', top_k=2))),
        work_dir=str(tmp_path), default_scope='mmseg', log_level='ERROR',
        experiment_name=tmp_path.name, load_from=str(tmp_path / 'm.pth'),
        test_dataloader=dict(
            batch_size=2, num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='MiniWorldDataset', categories='mini-20', side=32,
                         num_pictures=3, pipeline=pipeline)),
        test_evaluator=dict(type='OVIoUMetric', seen='mini-seen'),
        test_cfg=dict(type='TestLoop'),
        default_hooks=dict(vocabulary=dict(type='VocabularyHook'))))
    scores = Runner.from_cfg(config).test()
    assert np.isfinite(scores['mIoU']) and scores['selection_count'] > 0
    assert MODELS.get('OVSegTTAModel') is OVSegTTAModel
