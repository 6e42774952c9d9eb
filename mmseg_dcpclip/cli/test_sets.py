"""The test sets of a measurement: the config's own, or benchmarks, by picture seeds."""

import argparse
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ..shipped import configs_folder
from .common import checkpoint_of, load_config


@dataclass
class Measured:
    """What was measured on one benchmark.

    Attributes:
        name: Of the benchmark; empty for the config's own test set.
        categories: How many it has.
        sets: The rows of each set of pictures.
    """
    name: str
    categories: int
    sets: list[list[dict]]

    def title(self, rows: list[dict]) -> str:
        """What a table of these rows is about."""
        name = f'{self.name}: ' if self.name else ''
        return f'{name}{rows[0]["pictures"]} pictures, {self.categories} categories'


def add_test_sets(parser: argparse.ArgumentParser) -> None:
    """Which pictures."""
    parser.add_argument('--benchmarks', nargs='+', metavar='NAME', help='on these, or '
                        "'all', in place of the config's test set")
    parser.add_argument('--first-seeds', type=_seed, nargs='+', metavar='SEED',
                        help='of the small world: sets of pictures, by the seeds of '
                        'their first ones')


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number')
    return int(text)


def measure_sets(args: argparse.Namespace, measure: Callable[..., list[dict]],
                 change: dict | None = None) -> list[Measured]:
    """Measure a model on each benchmark and set of pictures.

    Args:
        args: Of the subcommand.
        measure: Gets the model with the words of a test set, its loader, and which
            words the metric counts as seen (bool [C] or None); returns rows.
        change: More changes of the config than its ``--cfg-options``.

    Raises:
        ValueError: An unknown benchmark, or seeds for pictures that are not drawn.
    """
    config = load_config(args.config, {**args.cfg_options, **(change or {})})
    from mmengine.runner import Runner

    from ..apis.predictor import Predictor
    from ..datasets import dataset_vocabulary
    from ..evaluation.benchmarks import Benchmark, collect_benchmarks
    from ..evaluation.diagnostics import seen_by
    found = [Benchmark('', config.test_dataloader, config.test_evaluator)]
    if args.benchmarks:
        found = collect_benchmarks(config, args.benchmarks,
                                   configs_folder() / '_base_' / 'datasets')
    loaders = [_by_seed(benchmark.dataloader, args.first_seeds) for benchmark in found]
    model = Predictor(config, checkpoint_of(args.checkpoint), args.device).model
    results = []
    for benchmark, own in zip(found, loaders):
        sets = []
        for dataloader in own:
            loader = Runner.build_dataloader(dataloader)
            model.set_vocabulary(dataset_vocabulary(loader.dataset))
            evaluator: Any = benchmark.evaluator  # a dict in all configs here
            seen = seen_by(evaluator, model.vocabulary.names)
            sets.append(measure(model, loader, seen))
        results.append(Measured(benchmark.name, len(model.vocabulary), sets))
    return results


def _by_seed(dataloader: Any, seeds: list[int] | None) -> list[Any]:
    """A loader for each set of pictures; building it changes the dict."""
    if seeds is None:
        return [deepcopy(dataloader)]
    if dataloader['dataset']['type'] != 'MiniWorldDataset':
        raise ValueError('--first-seeds: only the pictures of the small world are '
                         f'drawn from seeds, not those of '
                         f'{dataloader["dataset"]["type"]}')
    loaders = []
    for seed in seeds:
        own = deepcopy(dataloader)
        own['dataset']['first_seed'] = seed
        loaders.append(own)
    return loaders
