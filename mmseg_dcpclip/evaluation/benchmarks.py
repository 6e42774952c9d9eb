"""Test one model on several benchmarks and put them into one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import LOOPS
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from rich.console import Console
from rich.table import Table

from ..datasets.labels import write_json
from ..datasets.open_vocab import MissingDataError

# The five benchmarks; each has a dataset config of that name.
BENCHMARKS = ('ade20k_847', 'pascal_context_459', 'ade20k_150', 'pascal_context_59',
              'pascal_voc_20')
_COLUMNS = dict(
    mIoU='mIoU\nGT-present',
    mIoU_union='mIoU\nunion',
    seen_mIoU='seen',
    unseen_mIoU='unseen',
    hIoU='hIoU',
    hIoU_union='hIoU\nunion')


@dataclass
class Benchmark:
    """One row of the table.

    Attributes:
        name (str): Name of the benchmark.
        dataloader (dict): As ``test_dataloader``.
        evaluator (dict | list): As ``test_evaluator``.
        dataset (BaseSegDataset, optional): Built by :func:`build_datasets`.
        missing (str, optional): The path that was not found.
        scores (dict): As reported by the evaluator.
    """

    name: str
    dataloader: dict
    evaluator: dict | list
    dataset: BaseSegDataset | None = None
    missing: str | None = None
    scores: dict[str, float] = field(default_factory=dict)


def collect_benchmarks(config: Config,
                       names: Sequence[str],
                       base_folder: Path,
                       data_roots: Mapping[str, str] | None = None
                       ) -> list[Benchmark]:
    """Find the settings of the benchmarks asked for.

    Args:
        config (Config): If it has ``benchmarks = dict(name=dict(dataloader=...,
            evaluator=...))``, these are the benchmarks to choose from.
        names (Sequence[str]): Names, or just 'all'.
        base_folder (Path): Otherwise: the folder of dataset configs with a
            ``<name>.py`` for each of ``BENCHMARKS``.
        data_roots (Mapping[str, str], optional): Replaces the ``data_root`` of
            some benchmarks, by name.

    Returns:
        list[Benchmark]: In the order asked for.

    Raises:
        ValueError: If a name is not known.
    """
    own = config.get('benchmarks')
    known = tuple(own) if own else BENCHMARKS
    names = known if list(names) == ['all'] else names
    unknown = [n for n in (*names, *(data_roots or ())) if n not in known]
    if unknown:
        raise ValueError(f'no benchmark named {", ".join(unknown)}; choose from '
                         f'{", ".join(known)}, or all')
    benchmarks = []
    for name in names:
        if own:
            settings = own[name].to_dict()
            benchmark = Benchmark(name, settings['dataloader'], settings['evaluator'])
        else:
            base = Config.fromfile(base_folder / f'{name}.py').to_dict()
            benchmark = Benchmark(name, base['test_dataloader'],
                                  base['test_evaluator'])
        if name in (data_roots or {}):
            benchmark.dataloader['dataset']['data_root'] = data_roots[name]
        benchmarks.append(benchmark)
    return benchmarks


def set_outputs(benchmarks: Sequence[Benchmark], folder: Path,
                predictions: str | None = None) -> None:
    """Give each benchmark files of its own.

    Args:
        benchmarks (Sequence[Benchmark]): Their evaluators are changed.
        folder (Path): Gets ``<name>.json`` with the scores of each class.
        predictions (str, optional): Gets a folder of PNGs per benchmark.
    """
    for benchmark in benchmarks:
        if not isinstance(benchmark.evaluator, dict):
            continue
        if benchmark.evaluator['type'] == 'OVIoUMetric':
            benchmark.evaluator.setdefault(
                'out_json', str(folder / f'{benchmark.name}.json'))
        if predictions:
            benchmark.evaluator['output_dir'] = str(Path(predictions) / benchmark.name)


def build_datasets(benchmarks: Sequence[Benchmark]) -> None:
    """Build every dataset, and note what is missing instead of raising.

    The datasets check that all their files are there; other mistakes in their
    settings are raised here, before the first image.
    """
    for benchmark in benchmarks:
        try:
            benchmark.dataset = DATASETS.build(benchmark.dataloader['dataset'])
        except MissingDataError as error:
            benchmark.missing = error.path
            if is_main_process():
                print(f'{benchmark.name}: {error}')


def run_benchmarks(runner: Runner, benchmarks: Sequence[Benchmark]) -> None:
    """Test the runner's model on each benchmark that is there.

    Args:
        runner (Runner): Built with any test settings; its checkpoint is loaded
            once.
        benchmarks (Sequence[Benchmark]): With datasets; scores are filled in.
    """
    runner.call_hook('before_run')
    runner.load_or_resume()
    for benchmark in benchmarks:
        if benchmark.dataset is None:
            continue
        runner.logger.info(f'benchmark {benchmark.name}')
        # Each benchmark is gone through once: its workers need not stay.
        dataloader = benchmark.dataloader | dict(
            dataset=benchmark.dataset, persistent_workers=False)
        loop = LOOPS.build(
            dict(type='TestLoop') | dict(runner.cfg.get('test_cfg') or {}),
            default_args=dict(
                runner=runner, dataloader=dataloader, evaluator=benchmark.evaluator))
        # Hooks find the current dataset as runner.test_dataloader, for which mmengine
        # has no public setter.
        runner._test_loop = loop
        benchmark.scores = loop.run()
    runner.call_hook('after_run')


def write_summary(benchmarks: Sequence[Benchmark], path: Path, **about: str) -> None:
    """Print the table and write it as JSON.

    Args:
        benchmarks (Sequence[Benchmark]): The rows.
        path (Path): The JSON file.
        about (str): Put at the head of the JSON, such as the checkpoint.
    """
    table = Table(title='Open-vocabulary segmentation (percent)')
    table.add_column('benchmark', no_wrap=True)
    for title in _COLUMNS.values():
        table.add_column(title, justify='right', no_wrap=True)
    table.add_column('note', overflow='fold')
    rows = []
    for benchmark in benchmarks:
        cells = ['' if benchmark.scores.get(key) is None else
                 f'{benchmark.scores[key]:.2f}' for key in _COLUMNS]
        note = f'not found: {benchmark.missing}' if benchmark.missing else ''
        table.add_row(benchmark.name, *cells, note)
        row = dict(name=benchmark.name, note=note)
        if benchmark.dataset is not None:
            row.update(
                images=len(benchmark.dataset),
                classes=len(benchmark.dataset.metainfo['classes']),
                vocabulary_digest=benchmark.dataset.metainfo.get('vocabulary_digest'))
        # JSON has no nan: a score without any class is null.
        row['scores'] = {
            key: None if isnan(value) else value
            for key, value in benchmark.scores.items()
        }
        rows.append(row)
    # Wide enough for whole names and scores, in a pipe or log file as well.
    console = Console(width=max(Console().width, 110))
    console.print(table)
    write_json(path, about | dict(benchmarks=rows), ensure_ascii=False)
    console.print(f'written to {path}', soft_wrap=True)
