"""Running configs on machines without CUDA."""

import torch
import torch.distributed
from mmengine.config import Config


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
