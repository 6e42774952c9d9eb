"""The table that ``dcpclip test --benchmarks`` prints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluation.benchmarks import Benchmark

COLUMNS = dict(
    mIoU='mIoU\nGT-present',
    mIoU_union='mIoU\nunion',
    seen_mIoU='seen',
    unseen_mIoU='unseen',
    hIoU='hIoU',
    hIoU_union='hIoU\nunion')
ON_REQUEST = dict(boundary_mIoU='boundary\nmIoU')
WIDTH = 110  # whole names and scores, in a pipe or log file as well


def print_summary(benchmarks: Sequence['Benchmark'], path: Path,
                  published: Mapping[str, float] | None = None) -> None:
    """Print the scores of all benchmarks.

    Args:
        benchmarks: The rows.
        path: Where their JSON was written.
        published: mIoU of others by benchmark, for a column of its own.
    """
    from rich.console import Console
    from rich.table import Table

    from ..evaluation.benchmarks import note_of
    table = Table(title='Open-vocabulary segmentation (percent)')
    table.add_column('benchmark', no_wrap=True)
    columns = COLUMNS | {key: title for key, title in ON_REQUEST.items()
                         if any(key in benchmark.scores for benchmark in benchmarks)}
    for title in columns.values():
        table.add_column(title, justify='right', no_wrap=True)
    if published:
        table.add_column('published\nmIoU', justify='right', no_wrap=True)
    table.add_column('note', overflow='fold')
    for benchmark in benchmarks:
        cells = ['' if benchmark.scores.get(key) is None else
                 f'{benchmark.scores[key]:.2f}' for key in columns]
        if published:
            figure = published.get(benchmark.name)
            cells.append('' if figure is None else f'{figure:.1f}')
            if benchmark.missing:
                cells[0] = 'not run'
        table.add_row(benchmark.name, *cells, note_of(benchmark))
    console = Console(width=max(Console().width, WIDTH))
    console.print(table)
    console.print(f'written to {path}', soft_wrap=True)
