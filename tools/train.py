#!/usr/bin/env python
"""Train a model with MMEngine's Runner."""

import argparse
import os
import os.path as osp

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmseg_dcpclip.engine import prepare_cpu


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument('--resume', nargs='?', const='auto',
                        help='go on from the latest checkpoint of the work dir, or '
                        'from the one given')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        help='changes of the config as key=value')
    parser.add_argument('--launcher', default='none',
                        choices=['none', 'pytorch', 'slurm', 'mpi'])
    # torch.distributed.launch passes it
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    if not osp.isfile(args.config):
        raise SystemExit(f'no such config: {args.config}')
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    cfg.merge_from_dict(args.cfg_options)
    if cfg.get('train_dataloader') is None:
        raise SystemExit(f'{args.config} has no train_dataloader: add a dataset config '
                         'to its _base_')
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0])
    if args.amp and torch.cuda.is_available():
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    elif args.amp:
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper'
    prepare_cpu(cfg)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
