"""The tools that measure parts of a model on a test set."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_dcpclip import Predictor
from mmseg_dcpclip.evaluation import OVIoUMetric
from mmseg_dcpclip.models import TagValidation

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'dcpclip_mini_frozen.py'
PICTURES = 6


@pytest.fixture(scope='module')
def frozen():
    """The frozen mini CLIP on mini-847, and some pictures."""
    predictor = Predictor(CONFIG)
    loader = Runner.build_dataloader(Config.fromfile(CONFIG).test_dataloader)
    predictor.model.set_vocabulary('mini-847')
    dataset = loader.dataset
    return predictor.model, dataset, [dataset[i] for i in range(PICTURES)]


def run(tool, tmp_path, *options):
    config, out = tmp_path / 'config.py', tmp_path / 'rows.json'
    with_hook = Config.fromfile(CONFIG)
    with_hook.custom_hooks.append(dict(type='TagValidationHook', seen='mini-seen'))
    with_hook.dump(config)
    tool.main([str(config), 'none', '--pictures', str(PICTURES), '--json', str(out),
               *map(str, options)])
    return json.loads(out.read_text())


def predict(model, picture):
    data = dict(inputs=[picture['inputs']], data_samples=[picture['data_samples']])
    with torch.no_grad():
        return model.test_step(data)[0]


def validated(model, pictures, validation):
    """Samples with a tag validation; the model is left without one."""
    model.tag_validation = validation
    samples = [predict(model, picture) for picture in pictures]
    model.tag_validation = None
    return samples


def scores_of(dataset, samples):
    """What the metric says of them."""
    metric = OVIoUMetric(ignore_index=65535, seen='mini-seen')
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [sample.to_dict() for sample in samples])
    return metric.evaluate(len(samples))


def test_selection_equals_the_model_s_own(load_tool, tmp_path, frozen):
    model, dataset, pictures = frozen
    rows = run(load_tool('measure_selection.py'), tmp_path, '--theta', 0.05, 0)
    recalls, counts = [], []
    for picture in pictures:
        sample = predict(model, picture)
        present = set(sample.gt_sem_seg.data.unique().tolist()) - {65535}
        selected = set(sample.selected_categories)
        recalls.append(len(selected & present) / len(present))
        counts.append(len(selected))
    paper, union, *everything = rows
    assert paper['theta'] == 0.05 and paper['form'] == 'paper'
    assert paper['recall'] == pytest.approx(sum(recalls) / PICTURES)
    assert paper['selected'] == pytest.approx(sum(counts) / PICTURES)
    assert union['recall'] >= paper['recall'] and union['selected'] >= paper['selected']
    for row in everything:
        assert row['recall'] == 1 and row['selected'] == 847


def test_tag_validation_equals_the_metric(load_tool, tmp_path, frozen):
    model, dataset, pictures = frozen
    rows = run(load_tool('measure_tag_validation.py'), tmp_path, '--top-k', 1, 2)
    assert [row['top_k'] for row in rows] == [None, 1, 2]
    maps = {}
    for row in rows:
        k = row['top_k']
        samples = validated(model, pictures,
                            TagValidation('mini-seen', k) if k else None)
        scores = scores_of(dataset, samples)
        for name in ('mIoU', 'unseen_mIoU'):
            assert row[name] == pytest.approx(scores[name], abs=0.01)  # two digits
        maps[k] = [sample.pred_sem_seg.data.clone() for sample in samples]
    changed = {k: sum(len(a[a != b].unique()) for a, b in zip(maps[None], own))
               for k, own in maps.items()}
    assert changed[1] > 0
    assert [row['renamed'] for row in rows] == list(changed.values())
    assert all(row['right_before'] + row['right_after'] <= row['renamed']
               <= row['regions'] for row in rows)


def test_region_rights_by_hand(load_tool):
    tool = load_tool('measure_tag_validation.py')
    old = torch.tensor([[1, 1, 1, 2, 2], [3, 3, 4, 4, 4]])
    new = torch.tensor([[5, 5, 5, 2, 2], [6, 6, 7, 7, 7]])
    label = torch.tensor([[5, 5, 1, 2, 2], [255, 255, 4, 4, 255]])
    # 1 becomes right, 2 stays, 3 has no label, 4 was right
    assert tool.region_rights(old, new, label, [1, 2, 3, 4], 255).tolist() == [3, 1, 1]
    assert tool.region_rights(old, new, label, [2], 255).tolist() == [0, 0, 0]


def test_errors_equal_the_metric(load_tool, tmp_path, frozen):
    model, dataset, pictures = frozen
    rows = run(load_tool('measure_errors.py'), tmp_path)
    scores = scores_of(dataset, validated(model, pictures, TagValidation('mini-seen')))
    predicted, *repaired = rows
    assert predicted['repaired'] == 'as predicted'
    for name in ('mIoU', 'seen_mIoU', 'unseen_mIoU'):
        assert predicted[name] == pytest.approx(scores[name], abs=0.01)  # two digits
    assert [row['repaired'] for row in repaired] == [
        'true selection', 'true masks', 'true names']
    assert all(predicted['mIoU'] < row['mIoU'] <= 100 for row in repaired)


def test_repaired_by_hand(load_tool):
    pred = torch.tensor([[1, 1, 1, 2, 2], [1, 3, 3, 3, 9]])
    label = torch.tensor([[5, 5, 5, 5, 2], [255, 3, 3, 2, 255]])
    maps = load_tool('measure_errors.py').repaired(
        pred, label, torch.tensor([1, 2, 3]), 255)
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


def test_without_the_hook_it_says_so(load_tool):
    with pytest.raises(SystemExit, match='TagValidationHook'):
        load_tool('measure_tag_validation.py').main([str(CONFIG), 'none'])
