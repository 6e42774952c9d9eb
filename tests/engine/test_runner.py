"""The Runner that also works without CUDA."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_dcpclip.engine import AnywhereFlexibleRunner, AnywhereRunner
from mmseg_dcpclip.shipped import config_path


def test_the_config_is_not_changed(monkeypatch):
    built = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(Runner, 'from_cfg',
                        classmethod(lambda cls, cfg: built.append(cfg)))
    config = Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl'))))
    before = deepcopy(config.to_dict())
    AnywhereRunner.from_cfg(config)
    assert config.to_dict() == before
    assert built[0].env_cfg.dist_cfg.backend == 'gloo'


def test_a_missing_deepspeed_is_named(monkeypatch):
    monkeypatch.setattr('mmseg_dcpclip.engine.sharding.find_spec', lambda name: None)
    config = Config.fromfile(config_path('dcpclip_vith14_coco_deepspeed'))
    with pytest.raises(ModuleNotFoundError, match='pip install deepspeed'):
        AnywhereFlexibleRunner.from_cfg(config)


def test_compile_and_a_strategy_do_not_go_together():
    config = Config.fromfile(config_path('dcpclip_vith14_coco_fsdp'))
    config.compile = True
    with pytest.raises(ValueError, match='compile does not go with a strategy'):
        AnywhereFlexibleRunner.from_cfg(config)
