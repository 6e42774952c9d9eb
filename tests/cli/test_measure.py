"""`dcpclip measure` against the model and the metric themselves."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_dcpclip import Predictor
from mmseg_dcpclip.cli import main
from mmseg_dcpclip.evaluation import OVIoUMetric
from mmseg_dcpclip.models import DynamicCategorySelection, TagValidation
from mmseg_dcpclip.shipped import config_path

CONFIG = config_path('dcpclip_mini_frozen')
PICTURES = 6


@pytest.fixture(scope='module')
def frozen():
    """The frozen mini CLIP on mini-847, and some pictures."""
    predictor = Predictor(CONFIG)
    loader = Runner.build_dataloader(Config.fromfile(CONFIG).test_dataloader)
    predictor.model.set_vocabulary('mini-847')
    dataset = loader.dataset
    return predictor.model, dataset, [dataset[i] for i in range(PICTURES)]


def measure(what, tmp_path, *options):
    path, out = tmp_path / 'config.py', tmp_path / 'rows.json'
    config = Config.fromfile(CONFIG)
    config.model.tag_validation = dict(seen='mini-seen')
    config.dump(path)
    assert main(['measure', what, str(path), 'none', '--pictures', str(PICTURES),
                 '--json', str(out), *map(str, options)]) == 0
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


def test_selection_equals_the_model_s_own(tmp_path, frozen, capsys):
    model, dataset, pictures = frozen
    rows = measure('selection', tmp_path, '--theta', 0.05, 0)
    recalls, counts = [], []
    for picture in pictures:
        sample = predict(model, picture)
        present = set(sample.gt_sem_seg.data.unique().tolist()) - {65535}
        selected = set(sample.selected_categories)
        recalls.append(len(selected & present) / len(present))
        counts.append(len(selected))
    paper, union, *everything, votes, candidates, purify = rows
    assert paper['theta'] == 0.05 and paper['form'] == 'paper'
    assert paper['recall'] == pytest.approx(sum(recalls) / PICTURES)
    assert paper['selected'] == pytest.approx(sum(counts) / PICTURES)
    assert union['recall'] >= paper['recall'] and union['selected'] >= paper['selected']
    for row in everything:
        assert row['recall'] == 1 and row['selected'] == 847
    assert votes['form'] == 'votes' and votes['selected'] == 32
    assert purify['form'] == 'purify' and purify['theta'] is None
    assert purify['selected'] < candidates['selected'] <= union['selected']
    assert purify['recall'] <= candidates['recall'] <= union['recall']
    assert '6 pictures, 847 categories' in capsys.readouterr().out


def test_tag_validation_equals_the_metric(tmp_path, frozen, capsys):
    model, dataset, pictures = frozen
    rows = measure('tags', tmp_path, '--top-k', 1, 2)
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
    assert 'regions of unseen' in ' '.join(capsys.readouterr().out.split())


def test_a_hook_says_what_is_seen(tmp_path, capsys):
    path = tmp_path / 'config.py'
    config = Config.fromfile(CONFIG)
    config.custom_hooks = [dict(type='TagValidationHook', seen='mini-seen')]
    config.dump(path)
    assert main(['measure', 'tags', str(path), 'none', '--pictures', '1', '--top-k',
                 '1']) == 0
    assert '1 pictures, 847 categories' in ' '.join(capsys.readouterr().out.split())


def test_errors_equal_the_metric(tmp_path, frozen):
    model, dataset, pictures = frozen
    rows = measure('errors', tmp_path)
    scores = scores_of(dataset, validated(model, pictures, TagValidation('mini-seen')))
    predicted, *repaired = rows
    assert predicted['repaired'] == 'as predicted'
    for name in ('mIoU', 'seen_mIoU', 'unseen_mIoU'):
        assert predicted[name] == pytest.approx(scores[name], abs=0.01)  # two digits
    assert [row['repaired'] for row in repaired] == [
        'true selection', 'true masks', 'true names']
    assert all(predicted['mIoU'] < row['mIoU'] <= 100 for row in repaired)


def test_changes_equal_the_metric(tmp_path, frozen, capsys):
    model, dataset, pictures = frozen
    own, changed = measure('changes', tmp_path, '--change', 'model.selection.theta=0',
                           'model.tag_validation=None', '--cfg-options',
                           'model.selection.form=union')
    assert own['change'] == 'as it is'
    assert changed['change'] == 'model.selection.theta=0 model.tag_validation=None'
    selection = model.selection
    for row, theta, validation in ((own, 0.05, TagValidation('mini-seen')),
                                   (changed, 0, None)):
        model.selection = DynamicCategorySelection(theta, 'union')
        samples = validated(model, pictures, validation)
        assert row['mIoU'] == [pytest.approx(scores_of(dataset, samples)['mIoU'],
                                             abs=0.01)]  # two digits
    model.selection = selection
    assert own['mIoU'] != changed['mIoU']
    assert '(' in capsys.readouterr().out


def test_a_change_may_fill_what_the_options_emptied(tmp_path):
    own, changed = measure(
        'changes', tmp_path, '--change', 'model.refinement.type=PAMR',
        'model.refinement.dilations=(2,4)', '--cfg-options', 'model.refinement=None')
    assert own['mIoU'] != changed['mIoU']


def test_background_equals_words_asked_one_by_one(tmp_path, capsys):
    out = tmp_path / 'rows.json'
    trained = ('dcpclip_mini', 'mmseg_dcpclip://dcpclip_mini')
    assert main(['measure', 'background', *trained, '--pictures', '2', '--thresholds',
                 '0', '0.2', '1', '--json', str(out)]) == 0
    every, rows, nothing = json.loads(out.read_text())
    predictor = Predictor(*trained)
    dataset = Runner.build_dataloader(predictor.config.test_dataloader).dataset
    ious = []
    for picture in (dataset[0], dataset[1]):
        label = picture['data_samples'].gt_sem_seg.data[0].numpy()
        image = picture['inputs'].numpy().transpose(1, 2, 0)[..., ::-1]  # read as BGR
        for category in set(label.flat) - {65535}:
            word = [dataset.metainfo['classes'][category]]
            found = predictor.predict(image.copy(), word, background=0.2)
            found = (found.pred_sem_seg.data[0].numpy() == 0) & (label != 65535)
            true = label == category
            ious.append((found & true).sum() / (found | true).sum())
    assert rows['IoU'] == pytest.approx(100 * sum(ious) / len(ious), abs=0.1)
    assert every['covered'] == 100 and 0 == nothing['covered'] <= rows['covered'] < 50
    assert nothing['IoU'] == 0 and rows['IoU'] > every['IoU'] and rows['pictures'] == 2
    assert 'covered, not there' in ' '.join(capsys.readouterr().out.split())


def test_benchmarks_and_sets_of_pictures(tmp_path):
    where = ('--benchmarks', 'mini-20', 'mini-59', '--first-seeds', 7)
    sets = [measure('changes', tmp_path, *where, *more)[0] for more in ((), (9, ))]
    assert {name: len(sets[1][name]) for name in ('mini-20', 'mini-59')} == {
        'mini-20': 2, 'mini-59': 2}
    assert sets[1]['mini-20'][0] == sets[0]['mini-20'][0] != sets[1]['mini-20'][1]
    joined = measure('selection', tmp_path, *where, 9, '--theta', 0.5)
    one = measure('selection', tmp_path, *where, '--theta', 0.5)
    other = measure('selection', tmp_path, '--benchmarks', 'mini-20', '--first-seeds',
                    9, '--theta', 0.5)
    row, *parts = (rows['mini-20'][0] for rows in (joined, one, other))
    assert row['pictures'] == 2 * PICTURES
    assert row['recall'] == pytest.approx(sum(part['recall'] for part in parts) / 2)


def test_only_drawn_pictures_have_seeds(capsys):
    assert main(['measure', 'changes', str(CONFIG), 'none', '--first-seeds', '0',
                 '--cfg-options', 'test_dataloader.dataset.type=ADE20K']) == 1
    assert 'only the pictures of the small world' in capsys.readouterr().err


def test_without_tag_validation_it_says_so(capsys):
    assert main(['measure', 'tags', str(CONFIG), 'none']) == 1
    error = capsys.readouterr().err
    assert 'dcpclip measure: error: the model has no tag validation' in error
    assert 'model.tag_validation=dict(seen=...)' in error


@pytest.mark.parametrize('args, message', [
    (('selection', '--theta', '2'), "'2' is not a number from 0 to 1"),
    (('selection', '--theta', 'much'), "'much' is not a number from 0 to 1"),
    (('tags', '--top-k', '0'), "'0' is not a whole number"),
    (('errors', '--pictures', '0'), "'0' is not a whole number"),
    (('tags', '--first-seeds', 'x'), "'x' is not a whole number"),
    (('changes', '--change', 'theta'), 'expected KEY=VALUE'),
    (('nothing', ), 'invalid choice')])
def test_bad_arguments(args, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(['measure', args[0], str(CONFIG), 'none', *args[1:]])
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_files_that_are_not_there(capsys):
    assert main(['measure', 'errors', 'gone.py', 'none']) == 1
    assert 'error: no such config: gone.py' in capsys.readouterr().err
    assert main(['measure', 'selection', str(CONFIG), 'gone.pth']) == 1
    assert 'error: no such checkpoint: gone.pth' in capsys.readouterr().err
