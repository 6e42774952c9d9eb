"""Tells at the start of a training what is learned, and how fast."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from prettytable import PrettyTable
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import Optimizer

from .vocabulary_hook import bare_model

GROUPS = dict(backbone='image CLIP', text_encoder='text CLIP', neck='neck',
              decode_head='decode head')


def parameter_rows(model: nn.Module, optimizer: Optimizer) -> list[tuple]:
    """Number of parameters by part of the model, learning rate and weight decay.

    Args:
        model: Bare, not wrapped.
        optimizer: Of its learnable parameters.

    Returns:
        list[tuple]: (part, number of parameters, learning rate, weight decay) in the
        order of ``GROUPS``, then 'others'; both rates are None for frozen parameters.
        The learning rate is the one before any schedule.
    """
    rates = {p: (group.get('initial_lr', group['lr']), group.get('weight_decay', 0))
             for group in optimizer.param_groups for p in group['params']}
    sizes: dict[tuple, int] = {}
    for name, p in model.named_parameters():
        part = GROUPS.get(name.partition('.')[0], 'others')
        # What no optimiser updates is frozen in effect.
        key = (part, *(rates.get(p, (None, None)) if p.requires_grad else (None, None)))
        sizes[key] = sizes.get(key, 0) + p.numel()
    order = [*GROUPS.values(), 'others']
    keys = sorted(sizes, key=lambda k: (order.index(k[0]), k[1] is None, -(k[1] or 0),
                                        -(k[2] or 0)))
    return [(part, sizes[part, lr, decay], lr, decay) for part, lr, decay in keys]


@HOOKS.register_module()
class ParameterReportHook(Hook):
    """Logs learnable and frozen parameters with their learning rates."""

    def before_train(self, runner: Runner) -> None:
        rows = parameter_rows(bare_model(runner), runner.optim_wrapper.optimizer)
        table = PrettyTable(['part', 'parameters (M)', 'learning rate', 'weight decay'])
        table.align = 'r'
        table.align['part'] = 'l'
        for part, size, lr, decay in rows:
            table.add_row([part, f'{size / 1e6:.3f}',
                           'frozen' if lr is None else f'{lr:g}',
                           '' if lr is None else f'{decay:g}'])
        learned = sum(size for _, size, lr, _ in rows if lr is not None)
        total = sum(size for _, size, _, _ in rows)
        whose = (" in this process's shard" if isinstance(
            runner.model, FullyShardedDataParallel) else '')
        runner.logger.info(f'{learned / 1e6:.3f} M of {total / 1e6:.3f} M parameters'
                           f'{whose} are learned:\n{table.get_string()}')
