"""Several test sets in one run of a stock runner."""

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from toys import toy_model_config

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


def test_without_benchmarks_it_says_so(tmp_path):
    with pytest.raises(ValueError, match='needs benchmarks'):
        runner_of(tmp_path, dict(type='BenchmarksTestLoop'), 'none').test()
