"""Settings, schedules and the runs that a plan makes of them."""

import pytest
from mmengine.config import Config

from mmseg_dcpclip.reproduction.plan import Plan
from mmseg_dcpclip.reproduction.settings import (
    Settings,
    parse_options,
    scaled_schedule,
)


def test_schedule_is_shortened_in_proportion():
    config = Config(dict(train_cfg=dict(max_iters=1000), param_scheduler=[
        dict(begin=0, end=100), dict(T_max=1000)]))
    assert scaled_schedule(config, 20) == [
        'train_cfg.max_iters=20', 'train_cfg.val_interval=20',
        'param_scheduler.0.end=2', 'param_scheduler.1.T_max=20']


@pytest.mark.parametrize('name', ['jobs', 'gpus', 'iters'])
def test_numbers_too_small(name):
    with pytest.raises(ValueError, match='at least 1'):
        Settings(tables=[3], **{name: 0})


def test_options_are_those_of_a_config():
    assert parse_options(['a.b=3', 'c=[1,2]', 'd=x=y']) == {
        'a.b': 3, 'c': [1, 2], 'd': 'x=y'}
    with pytest.raises(ValueError, match="'x' is not of the form KEY=VALUE"):
        parse_options(['x'])


def jobs(tmp_path, *options):
    plan = Plan(Settings(tables=[4], seeds=[0], work_dir=tmp_path, cfg_options=options))
    return {job.config: job for job in plan.jobs}


def test_what_the_model_does_in_tests_only_trains_nothing_anew(tmp_path):
    before = jobs(tmp_path)['full']
    other = jobs(tmp_path, 'model.tag_validation=None')['full']
    assert other.folder == before.folder and other.digest == before.digest
    assert other.tests['full'] != before.tests['full']
    other = jobs(tmp_path, 'model.test_cfg.mode=other')['full']
    assert other.digest == before.digest and other.tests != before.tests
    other = jobs(tmp_path, 'model.vocabulary=mini-20')['full']
    assert other.folder != before.folder


def test_what_changes_weights_trains_anew(tmp_path):
    """Averaged weights are other weights, although the model is the same."""
    before = jobs(tmp_path)['full']
    other = jobs(tmp_path, 'custom_hooks.0.type=EMAHook')
    assert other['full'].folder != before.folder
