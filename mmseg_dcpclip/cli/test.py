"""Test a model: on the config's own test set, or on the benchmarks.

    dcpclip test CONFIG CHECKPOINT
    dcpclip test CONFIG CHECKPOINT --benchmarks all

The word ``none`` for the checkpoint tests a model that needs no training: its weights
are those that its ``init_weights`` loads.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import check_folder
from .common import (
    add_cfg_options,
    add_checkpoint,
    add_config,
    add_data_root,
    add_launcher,
    add_views,
    checkpoint_of,
    load_run_config,
    say,
)

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of MMSegmentation's own tool, and those of the benchmarks."""
    add_config(parser)
    add_checkpoint(parser)
    parser.add_argument('--work-dir', help='folder for logs and scores')
    parser.add_argument('--out', help='folder for the predictions as PNG')
    parser.add_argument('--no-labels', action='store_true',
                        help='score nothing: only write the predictions to --out')
    parser.add_argument('--show', action='store_true', help='show predictions')
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument('--wait-time', type=float, default=2,
                        help='seconds each picture is shown')
    add_views(parser, pipeline='pipeline')
    parser.add_argument('--benchmarks', nargs='+', metavar='NAME',
                        help="test on these benchmarks, 'all' or 'training-free', and "
                        'print one table')
    parser.add_argument('--boundary', nargs='?', type=float, const=0.02,
                        metavar='RATIO',
                        help='score boundary IoU, too, in boundaries of this share of '
                        "a picture's diagonal (0.02 if left out)")
    add_data_root(parser)
    add_cfg_options(parser)
    add_launcher(parser)


def run(args: argparse.Namespace) -> int:
    """Test; the status is 1 where no benchmark is there."""
    status = _test(args)
    from ..engine import end_processes
    end_processes()
    return status


def _test(args: argparse.Namespace) -> int:
    weights = checkpoint_of(args.checkpoint)
    if weights and '://' not in weights and not Path(weights).is_file():
        raise FileNotFoundError(f'no such checkpoint: {weights}; give a file, or the '
                                "word 'none' for a model that needs no training")
    if args.data_root and not args.benchmarks:
        raise ValueError('--data-root belongs to --benchmarks; without it use '
                         '--cfg-options test_dataloader.dataset.data_root=FOLDER')
    if args.no_labels and (args.benchmarks or not args.out):
        raise ValueError('--no-labels scores nothing: it belongs to --out FOLDER, and '
                         'not to --benchmarks')
    for folder in filter(None, (args.out, args.show_dir)):
        check_folder(folder)
    config = _prepared(args, weights)
    if args.no_labels:
        _leave_out_labels(config)
    if args.benchmarks:
        return _test_benchmarks(args, config)
    if args.out:
        config.test_evaluator['output_dir'] = args.out
    if args.boundary is not None:
        from ..evaluation.boundaries import ask_for_boundaries
        ask_for_boundaries(config.test_evaluator, args.boundary)
    _build_runner(config).test()
    return 0


def _prepared(args: argparse.Namespace, weights: str | None) -> 'Config':
    """The config with all arguments in it."""
    from ..engine import use_mode, use_tta
    config = load_run_config(args)
    config.load_from, config.resume = weights, False
    if args.mode is not None:
        use_mode(config, args.mode)
    if args.tta is not None:
        use_tta(config, args.tta)
    if args.show or args.show_dir:
        hook = config.get('default_hooks', {}).get('visualization')
        if hook is None:
            raise ValueError('--show and --show-dir need default_hooks.visualization='
                             "dict(type='SegVisualizationHook') in the config")
        # every picture: older versions of the hook skip most of them in tests, too
        hook.update(draw=True, interval=1, show=args.show, wait_time=args.wait_time)
        if args.show_dir:
            config.visualizer.save_dir = args.show_dir
    return config


def _leave_out_labels(config: 'Config') -> None:
    """Let a config's test only write predictions."""
    config.test_dataloader.dataset.setdefault('data_prefix', {})['seg_map_path'] = None
    config.test_evaluator['format_only'] = True


def _build_runner(config: 'Config') -> 'Runner':
    from mmengine.runner import Runner

    from ..engine import AnywhereRunner, bare_model, runner_class
    kind = runner_class(config)
    # What a strategy trained in shards is tested whole.
    kind = kind if issubclass(kind, Runner) else AnywhereRunner
    runner = kind.from_cfg(config)
    if config.load_from is None:
        bare_model(runner).init_weights()
    return runner


def _test_benchmarks(args: argparse.Namespace, config: 'Config') -> int:
    """Test on the benchmarks that are there and write the table."""
    from mmengine.dist import init_dist, is_distributed, is_main_process
    from mmengine.registry import init_default_scope

    from ..engine import prepare_cpu
    from ..evaluation import benchmarks as library
    from ..evaluation.boundaries import ask_for_boundaries
    from ..shipped import configs_folder
    from .benchmark_table import print_summary
    found = library.collect_benchmarks(
        config, args.benchmarks, configs_folder() / '_base_' / 'datasets',
        args.data_root)
    if args.boundary is not None:
        for benchmark in found:
            ask_for_boundaries(benchmark.evaluator, args.boundary)
    work_dir = Path(config.work_dir)
    library.set_outputs(found, work_dir / 'benchmarks', args.out)
    prepare_cpu(config)  # the processes are needed before the runner is there
    # Before the model is built: a mistake shows before the first image.
    init_default_scope(config.get('default_scope', 'mmseg'))
    if args.launcher != 'none' and not is_distributed():
        init_dist(args.launcher, **config.get('env_cfg', {}).get('dist_cfg', {}))
    library.build_datasets(found, say)
    there = any(benchmark.dataset is not None for benchmark in found)
    if there:
        for key in ('benchmarks', 'other_benchmarks'):  # the loop has them now
            config.pop(key, None)
        library.set_loop(config, found)
        runner = _build_runner(config)
        runner.test()
        library.take_scores(found, runner)
    if is_main_process():
        path = work_dir / 'benchmarks.json'
        library.write_summary(found, path, config=str(config.filename),
                              checkpoint=str(config.load_from))
        from ..evaluation.published import published_row
        group = list(args.benchmarks) == ['training-free']
        print_summary(found, path, published_row(config) if group else None)
    return 0 if there else 1
