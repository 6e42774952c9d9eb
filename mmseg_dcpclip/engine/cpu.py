"""Running configs on machines without CUDA."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn


def prepare_cpu(config: Config) -> None:
    """Without CUDA: let processes talk through gloo and DDP hold CPU models.

    MMEngine's own start of processes asks for a CUDA device whatever the backend, so
    the process group of the ``pytorch`` launcher is started here. Nothing is done on
    a machine with CUDA.

    Args:
        config: Changed in place; ``config.launcher`` says how processes are started.
    """
    if torch.cuda.is_available():
        return
    config.setdefault('env_cfg', {}).setdefault('dist_cfg', {})['backend'] = 'gloo'
    if config.get('launcher', 'none') == 'none':
        return
    config.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
        find_unused_parameters=config.get('find_unused_parameters', False))
    if config.launcher == 'pytorch' and not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')


def end_processes() -> None:
    """Leave the group of processes in order, where there is one.

    A process that just ends may take the others' connections with it, and they abort.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def use_amp(config: Config) -> None:
    """Train in mixed precision, float16 with CUDA and bfloat16 without.

    Args:
        config: Its ``optim_wrapper`` is changed.
    """
    if torch.cuda.is_available():
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.setdefault('loss_scale', 'dynamic')
    else:
        config.optim_wrapper.type = 'CPUAmpOptimWrapper'


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16 on a CPU, where MMEngine's AmpOptimWrapper refuses.

    bfloat16 has the range of float32, so no loss is scaled. Arguments as
    ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
