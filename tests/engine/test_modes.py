"""Modes and presets put into a config."""

import pytest
from mmengine.config import Config

from mmseg_dcpclip.engine import use_mode, use_tta


def config_of(**more):
    return Config(dict(model=dict(type='DCPCLIP', test_cfg=dict(
        mode='slide', crop_size=(8, 8), stride=(4, 4), global_view=False,
        background='none')), **more))


MODES = dict(fast=dict(mode='whole', size=(16, 16)), accurate=dict(mode='whole'))


def test_a_mode_replaces_how_pictures_are_looked_at_and_nothing_else():
    config = config_of(modes=MODES)
    use_mode(config, 'fast')
    assert config.model.test_cfg == dict(mode='whole', size=(16, 16), background='none')
    use_mode(config, 'accurate')
    assert config.model.test_cfg == dict(mode='whole', background='none')


def test_a_preset_is_added():
    config = config_of()
    use_tta(config, 'shift')
    assert config.model.test_cfg.tta == 'shift' and config.model.type == 'DCPCLIP'
    assert config.model.test_cfg.crop_size == (8, 8)


@pytest.mark.parametrize('change, message', [
    (lambda: use_mode(config_of(modes=MODES), 'slow'),
     "no mode 'slow': choose fast, accurate"),
    (lambda: use_mode(config_of(), 'fast'), r'add modes=dict\(NAME='),
    (lambda: use_tta(config_of(), 'turn'),
     r'choose none, flip, shift, flip\+shift, pipeline'),
    (lambda: use_tta(config_of()), 'needs a tta_pipeline')])
def test_what_there_is_not_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        change()
