"""Models larger than one GPU: MMEngine's FlexibleRunner and FSDP."""

from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import STRATEGIES
from mmengine.runner import FlexibleRunner
from mmseg.registry import RUNNERS
from torch import nn

from .cpu import prepare_cpu
from .numbered_data import NumberedTrainingMixin
from .variables import apply_variables


@RUNNERS.register_module()
class AnywhereFlexibleRunner(NumberedTrainingMixin, FlexibleRunner):
    """MMEngine's FlexibleRunner, whose ``strategy`` shards a model, without CUDA too.

    Samples are augmented by seed and place, and variables of dataset configs that were
    set anew take effect, as with ``AnywhereRunner``. Resuming is MMEngine's.

    Raises:
        ValueError: ``compile`` is set, which strategies cannot do block by block.
        ModuleNotFoundError: DeepSpeed is wanted and not installed.
    """
    @classmethod
    def from_cfg(cls, cfg: Config) -> 'AnywhereFlexibleRunner':
        """Build a runner from a config, which is not changed."""
        config = deepcopy(cfg)
        if config.get('compile'):
            raise ValueError('compile does not go with a strategy: leave it out of the '
                             "config, or train with runner_type='AnywhereRunner'")
        kind = (config.get('strategy') or {}).get('type')
        if kind == 'DeepSpeedStrategy' and find_spec('deepspeed') is None:
            raise ModuleNotFoundError('DeepSpeedStrategy needs the package deepspeed: '
                                      'pip install deepspeed', name='deepspeed')
        apply_variables(config)
        prepare_cpu(config)
        return super().from_cfg(config)


def fsdp_runs_on_cpu() -> bool:
    """Whether FSDP of this torch can make the streams it wants on a CPU."""
    try:
        torch.cpu.Stream(priority=0)
    except TypeError:  # torch 2.1
        return False
    return True


@STRATEGIES.register_module()
class CLIPFSDPStrategy(FSDPStrategy):
    """FSDP whose shards are the blocks of the image encoder, and the rest is one more.

    A block is a shard where nothing looks into it (``shardable_blocks`` of the model).
    A frozen text tower is whole in every process: it encodes the words once. Takes the
    arguments of ``FSDPStrategy``; its ``model_wrapper`` overrules all this.

    Raises:
        RuntimeError: There is no GPU, and this torch's FSDP cannot do without.
    """
    model_wrapper: dict | None

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        options: dict[str, Any] = dict(auto_wrap_policy=_policy(model))
        text: Any = getattr(model, 'text_encoder', None)
        if text is not None and not any(p.requires_grad for p in text.parameters()):
            options['ignored_modules'] = [text.to(get_device())]
        if not torch.cuda.is_available():
            if not fsdp_runs_on_cpu():
                raise RuntimeError(f'FSDP of torch {torch.__version__} needs a GPU: '
                                   'use one, a newer torch, or no strategy')
            options['device_id'] = torch.device('cpu')
        self.model_wrapper = {**options, **(self.model_wrapper or {})}
        return super()._wrap_model(model)

    def model_state_dict(self) -> dict:
        """The weights without what FSDP notes on them, which no safe reader takes."""
        return {key: value.detach() if isinstance(value, torch.Tensor) else value
                for key, value in super().model_state_dict().items()}


def _policy(model: nn.Module) -> Any:
    """What FSDP asks of each module: whether it is a shard of its own."""
    blocks = {id(block) for block in getattr(model, 'shardable_blocks', ())}

    def policy(module: nn.Module, recurse: bool, **_: Any) -> bool:
        return recurse or id(module) in blocks

    return policy
