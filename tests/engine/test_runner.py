"""The Runner that also works without CUDA."""

from copy import deepcopy

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_dcpclip.engine import AnywhereRunner


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
