"""One model on several benchmarks: their settings, the tests, one summary."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..datasets.open_vocab import MissingDataError
from ..files import write_json

# The five benchmarks; each has a dataset config of that name.
BENCHMARKS = ('ade20k_847', 'pascal_context_459', 'ade20k_150', 'pascal_context_59',
              'pascal_voc_20')
# The eight of training-free work, in the order of its tables: with background, without.
TRAINING_FREE = ('pascal_voc_21', 'pascal_context_60', 'coco_object_81',
                 'pascal_voc_20', 'pascal_context_59', 'coco_stuff_171',
                 'cityscapes_19', 'ade20k_150')


@dataclass
class Benchmark:
    """One row of the summary.

    Attributes:
        name: Name of the benchmark.
        dataloader: As ``test_dataloader``.
        evaluator: As ``test_evaluator``.
        dataset: Built by ``build_datasets``, or None.
        missing: The path that was not found, or None.
        scores: As reported by the evaluator.
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
        config: If it has ``benchmarks=dict(name=dict(dataloader=..., evaluator=...))``,
            these are the benchmarks to choose from; those of ``other_benchmarks`` can
            be named beside them and are not among ``'all'``.
        names: Names, or just ``'all'``, or just ``'training-free'`` for the eight
            ``TRAINING_FREE`` with that work's names and no seen classes.
        base_folder: Otherwise: the folder of dataset configs with a ``<name>.py`` for
            each of ``BENCHMARKS``; pictures go through the config's ``test_pipeline``,
            or what its ``benchmark_pipelines=dict(name=...)`` has for that one.
        data_roots: Replaces the ``data_root`` of some benchmarks, by name.

    Returns:
        list: In the order asked for.

    Raises:
        ValueError: A name is not known.
    """
    roots = data_roots or {}
    own, other = (config.get(key) or {} for key in ('benchmarks', 'other_benchmarks'))
    if list(names) == ['training-free']:
        own, other, known = {}, {}, TRAINING_FREE
        names, base_folder = TRAINING_FREE, base_folder / 'training_free'
    else:
        known = tuple(own) or BENCHMARKS
    names = known if list(names) == ['all'] else names
    known = tuple(dict.fromkeys((*known, *other)))
    unknown = [n for n in (*names, *roots) if n not in known]
    if unknown:
        raise ValueError(f'no benchmark named {", ".join(unknown)}; choose from '
                         f'{", ".join(known)}, or all')
    benchmarks, configured = [], {**other, **own}
    for name in names:
        if name in configured:
            settings = configured[name].to_dict()
            benchmark = Benchmark(name, settings['dataloader'], settings['evaluator'])
        else:
            base = Config.fromfile(base_folder / f'{name}.py').to_dict()
            benchmark = Benchmark(name, base['test_dataloader'],
                                  base['test_evaluator'])
            pipeline = (config.get('benchmark_pipelines') or {}).get(
                name, config.get('test_pipeline'))
            if pipeline is not None:
                benchmark.dataloader['dataset']['pipeline'] = pipeline
        if name in roots:
            benchmark.dataloader['dataset']['data_root'] = roots[name]
        benchmarks.append(benchmark)
    return benchmarks


def set_outputs(benchmarks: Sequence[Benchmark], folder: Path,
                predictions: str | None = None) -> None:
    """Give each benchmark files of its own.

    Args:
        benchmarks: Their evaluators are changed.
        folder: Gets ``<name>.json`` with the scores of each class.
        predictions: Gets a folder of PNGs per benchmark; None: none are written.
    """
    for benchmark in benchmarks:
        if not isinstance(benchmark.evaluator, dict):
            continue
        if benchmark.evaluator['type'] == 'OVIoUMetric':
            benchmark.evaluator.setdefault(
                'out_json', str(folder / f'{benchmark.name}.json'))
        if predictions:
            benchmark.evaluator['output_dir'] = str(Path(predictions) / benchmark.name)


def build_datasets(benchmarks: Sequence[Benchmark],
                   say: Callable[[str], object] | None = None) -> None:
    """Build every dataset, and note what is missing instead of raising.

    The datasets check that all their files are there; other mistakes in their
    settings are raised here, before the first image.

    Args:
        benchmarks: Datasets, or what is missing, are filled in.
        say: Gets a line about missing data, in the main process only.
    """
    for benchmark in benchmarks:
        try:
            benchmark.dataset = DATASETS.build(benchmark.dataloader['dataset'])
        except MissingDataError as error:
            benchmark.missing = error.path
            if say is not None and is_main_process():
                say(f'{benchmark.name}: {error}')


def set_loop(config: Config, benchmarks: Sequence[Benchmark]) -> None:
    """Let a config's test go through the benchmarks that are there.

    Args:
        config: Its test settings are changed.
        benchmarks: With datasets, one at least.
    """
    there = [benchmark for benchmark in benchmarks if benchmark.dataset is not None]
    # Runners want all three; the loop looks at its own only.
    config.test_dataloader = there[0].dataloader
    config.test_evaluator = there[0].evaluator
    config.test_cfg = dict(
        type='BenchmarksTestLoop',
        loop=dict(dict(type='TestLoop') | dict(config.get('test_cfg') or {})),
        benchmarks={benchmark.name: dict(dataloader=benchmark.dataloader,
                                         evaluator=benchmark.evaluator)
                    for benchmark in there})


def take_scores(benchmarks: Sequence[Benchmark], runner: Runner) -> None:
    """Fill in what the loop of ``set_loop`` found.

    Args:
        benchmarks: Their scores are set.
        runner: After its test.
    """
    for benchmark in benchmarks:
        benchmark.scores = runner.test_loop.scores.get(benchmark.name, {})


def summary_rows(benchmarks: Sequence[Benchmark]) -> list[dict]:
    """Plain rows, one per benchmark.

    Args:
        benchmarks: With scores, or with what is missing.

    Returns:
        list: Rows with ``name``, ``note`` and ``scores``, and where there is a dataset
        ``images``, ``classes`` (their numbers) and ``vocabulary_digest``.
    """
    rows = []
    for benchmark in benchmarks:
        row: dict[str, Any] = dict(name=benchmark.name, note=note_of(benchmark))
        if benchmark.dataset is not None:
            meta = benchmark.dataset.metainfo
            row.update(images=len(benchmark.dataset), classes=len(meta['classes']),
                       vocabulary_digest=meta.get('vocabulary_digest'))
        # JSON has no nan: a score without any class is null.
        row['scores'] = {key: None if isnan(value) else value
                         for key, value in benchmark.scores.items()}
        rows.append(row)
    return rows


def note_of(benchmark: Benchmark) -> str:
    """What there is to say about a benchmark besides its scores."""
    return f'not found: {benchmark.missing}' if benchmark.missing else ''


def write_summary(benchmarks: Sequence[Benchmark], path: Path, **about: str) -> None:
    """Write the summary as JSON.

    Args:
        benchmarks: The rows.
        path: The file.
        **about: Put at its head, such as the checkpoint.
    """
    write_json(path, about | dict(benchmarks=summary_rows(benchmarks)),
               ensure_ascii=False)
