"""Test a model: on the config's own test set, or on the benchmarks.

    python tools/test.py CONFIG CHECKPOINT
    python tools/test.py CONFIG CHECKPOINT --benchmarks all

The word ``none`` for the checkpoint tests a model that needs no training: its
weights are those that its ``init_weights`` loads.
"""

import argparse
import os
import sys
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.dist import init_dist, is_distributed, is_main_process
from mmengine.model import is_model_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

import mmseg_dcpclip  # noqa: F401  registers everything
from mmseg_dcpclip.engine import prepare_cpu
from mmseg_dcpclip.evaluation.benchmarks import (
    Benchmark,
    build_datasets,
    collect_benchmarks,
    run_benchmarks,
    set_outputs,
    write_summary,
)

BASE_FOLDER = Path(__file__).resolve().parents[1] / 'configs/_base_/datasets'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help="checkpoint file, or 'none'")
    parser.add_argument('--work-dir', help='folder for logs and scores')
    parser.add_argument('--out', help='folder for the predictions as PNG')
    parser.add_argument('--show', action='store_true', help='show predictions')
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds each picture is shown')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
        help='changes of the config, such as test_dataloader.batch_size=2')
    parser.add_argument(
        '--benchmarks', nargs='+', metavar='NAME',
        help="test on these benchmarks, or 'all', and print one table")
    parser.add_argument(
        '--data-root', nargs='+', action=DictAction, default={}, metavar='NAME=FOLDER',
        help='where a benchmark lies, if not where its dataset config says')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.checkpoint != 'none' and '://' not in args.checkpoint:
        if not Path(args.checkpoint).is_file():
            parser.error(f'no checkpoint at {args.checkpoint}; give a file, or the '
                         "word 'none' for a model that needs no training")
    if args.data_root and not args.benchmarks:
        parser.error('--data-root belongs to --benchmarks; without it use '
                     '--cfg-options test_dataloader.dataset.data_root=FOLDER')
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and apply the arguments."""
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options)
    config.launcher = args.launcher
    config.work_dir = (
        args.work_dir or config.get('work_dir')
        or str(Path('work_dirs') / Path(args.config).stem))
    config.load_from = None if args.checkpoint == 'none' else args.checkpoint
    config.resume = False
    prepare_cpu(config)
    if args.show or args.show_dir:
        hook = config.get('default_hooks', {}).get('visualization')
        if hook is None:
            raise ValueError('--show and --show-dir need default_hooks.visualization='
                             "dict(type='SegVisualizationHook') in the config")
        hook.update(draw=True, show=args.show, wait_time=args.wait_time)
        if args.show_dir:
            config.visualizer.save_dir = args.show_dir
    return config


def build_runner(config: Config) -> Runner:
    runner = Runner.from_cfg(config)
    if config.load_from is None:
        model = runner.model
        (model.module if is_model_wrapper(model) else model).init_weights()
    return runner


def test_benchmarks(config: Config, benchmarks: list[Benchmark]) -> int:
    """Test on the benchmarks that are there and write the table."""
    there = [benchmark for benchmark in benchmarks if benchmark.dataset is not None]
    # mmengine prints the config, and takes many seconds to format long ones.
    config.pop('benchmarks', None)
    if there:
        # Any test settings will do to build the runner, they are replaced.
        config.test_dataloader = there[0].dataloader
        config.test_evaluator = there[0].evaluator
        config.test_cfg = config.get('test_cfg') or dict(type='TestLoop')
        run_benchmarks(build_runner(config), benchmarks)
    if is_main_process():
        write_summary(
            benchmarks, Path(config.work_dir) / 'benchmarks.json',
            config=str(config.filename), checkpoint=str(config.load_from))
    return 0 if there else 1


def main(argv: list[str] | None = None) -> int | str:
    args = parse_args(argv)
    try:
        config = load_config(args)
        if args.benchmarks:
            benchmarks = collect_benchmarks(
                config, args.benchmarks, BASE_FOLDER, args.data_root)
            set_outputs(benchmarks, Path(config.work_dir) / 'benchmarks', args.out)
            # Before the model is built: a mistake shows before the first image.
            init_default_scope(config.get('default_scope', 'mmseg'))
            if args.launcher != 'none' and not is_distributed():
                settings = config.get('env_cfg', {}).get('dist_cfg', {})
                init_dist(args.launcher, **settings)
            build_datasets(benchmarks)
    except ValueError as error:
        return f'test.py: {error}'
    if args.benchmarks:
        return test_benchmarks(config, benchmarks)
    if args.out:
        config.test_evaluator['output_dir'] = args.out
    build_runner(config).test()
    return 0


if __name__ == '__main__':
    sys.exit(main())
