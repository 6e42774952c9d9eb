"""The commands that runs consist of, and a plan in words."""

import os
import shlex
import sys

import torch

from ..shipped import configs_folder
from .plan import Plan, Run, test_roots
from .settings import TOTAL_BATCH, Settings
from .tables import FULL, WORLDS, table_config

CHECKPOINTS = 20  # written in the course of a training
PORT = 29500  # of the processes of one run, unless the environment has another


def port_of(slot: int) -> int:
    """Port for the processes of a run; those at the same time have different ones."""
    return int(os.environ.get('PORT', PORT)) + slot


def _own(name: str, *words: str) -> list[str]:
    """A subcommand of this package in one process."""
    return [sys.executable, '-m', 'mmseg_dcpclip.cli', name, *words]


def _shared(settings: Settings, slot: int, name: str, *words: str) -> list[str]:
    """A subcommand of this package in one process per GPU."""
    if settings.gpus == 1:
        return _own(name, *words)
    return [sys.executable, '-m', 'torch.distributed.run',
            f'--nproc_per_node={settings.gpus}', f'--master_port={port_of(slot)}',
            '-m', 'mmseg_dcpclip.cli', name, '--launcher', 'pytorch', *words]


def _config(settings: Settings, name: str) -> str:
    return str(table_config(name, settings.world, configs_folder()))


def train_command(settings: Settings, job: Run, slot: int = 0) -> list[str]:
    """Trains, or goes on from the last checkpoint.

    Args:
        settings: What is asked for.
        job: The run.
        slot: Number of the worker.
    """
    own = [f'randomness.seed={job.seed}',
           f'default_hooks.checkpoint.interval={max(1, job.iters // CHECKPOINTS)}',
           # Two: a checkpoint that is cut off while written leaves the other.
           'default_hooks.checkpoint.max_keep_ckpts=2',
           'default_hooks.cost.type=CostHook', 'default_hooks.cost.out=cost.json']
    if settings.world == 'real':
        own.append(f'train_dataloader.batch_size={TOTAL_BATCH // settings.gpus}')
    return _shared(
        settings, slot, 'train', _config(settings, job.config),
        '--work-dir', str(job.folder / 'train'), '--resume', '--cfg-options', *own,
        *job.options)


def test_command(settings: Settings, job: Run, name: str, slot: int = 0) -> list[str]:
    """Tests on all benchmarks.

    Args:
        settings: What is asked for.
        job: The run whose weights are tested.
        name: Of the configuration that they are tested with.
        slot: Number of the worker.
    """
    roots = test_roots(settings).items()
    folders = ['--data-root', *(f'{k}={v}' for k, v in roots)] if roots else []
    return _shared(
        settings, slot, 'test', _config(settings, name), job.checkpoint,
        '--benchmarks', *WORLDS[settings.world].benchmarks,
        '--work-dir', str(job.folder / f'test-{name}'), *folders,
        '--cfg-options', 'default_hooks.cost.type=CostHook',
        'default_hooks.cost.out=cost.json', *job.options)


def efficiency_command(settings: Settings) -> list[str]:
    """Table II's figures; random weights, so neither data nor CLIP is needed."""
    command = _own('benchmark', '--efficiency', '--device',
                   'cuda' if torch.cuda.is_available() else 'cpu',
                   '--json', str(settings.out / 'efficiency.json'))
    if settings.world != 'real':
        command += ['--config', _config(settings, FULL), '--size', '96']
    return command


def describe(plan: Plan, with_commands: bool) -> list[str]:
    """Lines about all runs and how far they are."""
    lines = [f'NOTE: {notice}' for notice in plan.notices]
    for job in plan.jobs:
        lines.append(f'{job.config} seed {job.seed}: {job.state()}; {job.folder}')
        if with_commands and not job.trained():
            lines.append('  ' + shlex.join(train_command(plan.settings, job)))
        lines += ['  ' + shlex.join(test_command(plan.settings, job, name))
                  for name in job.tests if with_commands and not job.tested(name)]
    if plan.with_efficiency and with_commands:
        lines += ['efficiency', '  ' + shlex.join(efficiency_command(plan.settings))]
    left = sum(not job.finished() for job in plan.jobs)
    return [*lines, f'{len(plan.jobs)} runs, {left} of them not finished']
