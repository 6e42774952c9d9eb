"""Several test sets in one run of a stock runner."""

import json

import numpy as np
import pytest
from data_trees import make_own_tree
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image
from toys import toy_model_config

from mmseg_dcpclip import Predictor
from mmseg_dcpclip.shipped import config_path

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
            dict(type='PackSegInputs')]


def benchmark(name):
    return dict(
        dataloader=dict(
            batch_size=2, num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='MiniWorldDataset', categories=name, side=32,
                         num_pictures=3, pipeline=PIPELINE, ignore_index=65535)),
        evaluator=dict(type='OVIoUMetric', ignore_index=65535, seen='mini-seen'))


def runner_of(tmp_path, test_cfg, name, **changes):
    first = benchmark('mini-20')
    runner = Runner.from_cfg(Config(dict(
        model=toy_model_config(), work_dir=str(tmp_path), default_scope='mmseg',
        log_level='ERROR', experiment_name=f'{tmp_path.name}_{name}',
        test_dataloader=first['dataloader'], test_evaluator=first['evaluator'],
        test_cfg=test_cfg, randomness=dict(seed=3),
        default_hooks=dict(vocabulary=dict(type='VocabularyHook'))) | changes))
    runner.model.init_weights()
    return runner


def test_scores_are_those_of_single_tests(tmp_path):
    names = ('mini-20', 'mini-59')
    both = {name: benchmark(name) for name in names}
    test_cfg = dict(type='BenchmarksTestLoop', benchmarks=both)
    runner = runner_of(tmp_path, test_cfg, 'all')
    scores = runner.test()
    assert {key.partition('/')[0] for key in scores} == set(names)
    for name in names:
        single = runner_of(tmp_path, dict(type='TestLoop'), name,
                           test_dataloader=both[name]['dataloader'],
                           test_evaluator=both[name]['evaluator'])
        single.model.load_state_dict(runner.model.state_dict())
        expected = single.test()
        assert expected == runner.test_loop.scores[name]
        assert expected == {key.partition('/')[2]: value for key, value in
                            scores.items() if key.startswith(f'{name}/')}


def test_benchmarks_of_the_config(tmp_path):
    config = Config.fromfile(config_path('dcpclip_mini_frozen'))
    benchmarks = {name: config.benchmarks[name] for name in ('mini-59', 'mini-20')}
    for settings in benchmarks.values():
        settings.dataloader.dataset.update(num_pictures=1, side=32)
    runner = runner_of(tmp_path, dict(type='BenchmarksTestLoop'), 'own',
                       benchmarks=benchmarks)
    assert {'mini-59/mIoU', 'mini-20/mIoU'} <= set(runner.test())


def test_a_model_of_augmentation_gets_augmented_pictures(tmp_path):
    """As mmseg's tools do with --tta, which know the test_dataloader alone."""
    mirrored = [*PIPELINE[:-1], dict(type='TestTimeAug', transforms=[
        [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
        PIPELINE[-1:]])]
    model = dict(type='OVSegTTAModel', module=toy_model_config())
    settings = benchmark('mini-20')
    every = dict(type='BenchmarksTestLoop', benchmarks={'mini-20': settings})
    runner = runner_of(tmp_path, every, 'tta', model=model, tta_pipeline=mirrored)
    found = runner.test()
    assert settings['dataloader']['dataset']['pipeline'] is PIPELINE  # not changed
    dataset = dict(settings['dataloader']['dataset'], pipeline=mirrored)
    single = runner_of(tmp_path, dict(type='TestLoop'), 'one', model=model,
                       test_dataloader=dict(settings['dataloader'], dataset=dataset))
    single.model.load_state_dict(runner.model.state_dict())
    expected = {f'mini-20/{key}': value for key, value in single.test().items()}
    assert found == expected
    with pytest.raises(ValueError, match='needs a tta_pipeline'):
        runner_of(tmp_path, every, 'without', model=model).test()


def test_without_benchmarks_it_says_so(tmp_path):
    with pytest.raises(ValueError, match='needs benchmarks'):
        runner_of(tmp_path, dict(type='BenchmarksTestLoop'), 'none').test()


NAMES = ['background', 'red dots on blue', 'black grid on pink']
RULES = dict(  # the words and their id, an id beside them, what nothing scores
    category=dict(words=['sky', 'white waves on green', 'wall'], id=0),
    beside=dict(threshold=0.9),
    ignored=dict(words=['sky'], threshold=0.5, id='ignore'),
    nothing=None)


def test_each_set_has_its_own_background(tmp_path):
    """Predictions, their PNGs and scores are those of each rule said in a call."""
    root = make_own_tree(tmp_path / 'own', names=NAMES)
    benchmarks = {}
    for name, rule in RULES.items():
        (root / f'{name}.json').write_text(json.dumps(
            dict(classes=NAMES) | (dict(background=rule) if rule else {})))
        benchmarks[name] = dict(
            dataloader=dict(
                batch_size=2, num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(type='TextVocabDataset', data_root=str(root),
                             vocabulary=f'{name}.json', pipeline=PIPELINE,
                             data_prefix=dict(img_path='images/val',
                                              seg_map_path='labels/val'))),
            evaluator=dict(type='OVIoUMetric', seen=None,
                           output_dir=str(tmp_path / name),
                           out_json=str(tmp_path / f'{name}.json')))
    frozen = Config.fromfile(config_path('dcpclip_mini_frozen'))
    runner = runner_of(tmp_path, dict(type='BenchmarksTestLoop', benchmarks=benchmarks),
                       'rules', model=frozen.model)
    runner.test()
    frozen.test_pipeline = PIPELINE
    predictor = Predictor(frozen)
    pictures = sorted((root / 'images/val').iterdir())
    ids = dict(category=0, beside=3, ignored=frozen.model.ignore_index, nothing=None)
    labels = np.stack([Image.open(root / f'labels/val/{p.stem}.png') for p in pictures])
    for name, rule in RULES.items():
        results = predictor.predict(pictures, NAMES, background=rule or 'none')
        pngs = [Image.open(tmp_path / name / f'{p.stem}.png') for p in pictures]
        written = np.stack([np.asarray(png) for png in pngs])
        assert {result.none_id for result in results} == {ids[name]}
        for result, png in zip(results, written, strict=True):
            np.testing.assert_array_equal(result.pred_sem_seg.data[0], png)
        if rule:
            assert 0 < (written == ids[name]).mean() < 1
        assert (pngs[0].mode == 'L') == (name != 'ignored')
        scored = labels != 255
        for found in json.loads((tmp_path / f'{name}.json').read_text())['classes']:
            predicted, true = written == found['id'], labels == found['id']
            assert found['right'] == (predicted & true).sum()
            assert found['predicted'] == (predicted & scored).sum()
