"""Train a model with the runner that its config names.

    dcpclip train configs/dcpclip_vitb16_coco.py
    dcpclip train configs/dcpclip_vitb16_coco.py --resume --amp
"""

import argparse

from .common import add_cfg_options, add_config, add_launcher, load_run_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of MMSegmentation's own tool."""
    add_config(parser)
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument('--resume', nargs='?', const='auto',
                        help='go on from the newest checkpoint of the work dir, or '
                        'from the one given')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    add_cfg_options(parser)
    add_launcher(parser)


def run(args: argparse.Namespace) -> int:
    """Train."""
    config = load_run_config(args)
    if config.get('train_dataloader') is None:
        raise ValueError(f'{args.config} has no train_dataloader: add a dataset config '
                         'to its _base_')
    from ..engine import end_processes, prepare_cpu, runner_class, use_amp
    if args.amp and config.get('strategy'):
        raise ValueError('--amp does not go with a strategy: leave it out')
    if args.amp:
        use_amp(config)
    if args.resume is not None:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    args.saved = lambda: _saved(config.work_dir)
    prepare_cpu(config)
    runner_class(config).from_cfg(config).train()
    end_processes()
    return 0


def _saved(work_dir: str) -> str:
    """What an interrupted training leaves."""
    from mmengine.runner import find_latest_checkpoint
    last = find_latest_checkpoint(work_dir)
    if last is None:
        return 'no checkpoint was written yet'
    return f'--resume goes on from {last}'
