"""What finished runs say about a table: figures side by side, and verdicts.

Records of finished runs are plain dicts, see ``measure``. So are reports, which
are written as JSON.
"""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from .tables import PAPER_BENCHMARKS, WORLDS, Claim, Column, Row, Table

Records = Mapping[str, Mapping[int, dict]]  # by configuration, then by seed
Figures = Mapping[str, Mapping[str, float]]  # by configuration, then by quantity

OF_A_TRAINING = ('train_seconds', 'GiB')
RULE = ('mIoU in percent by the GT-present rule (mean over the classes with ground '
        'truth); the JSON file beside has the union rule of mmseg as well. Mean ± '
        'standard deviation over seeds.')
_BESIDE = ('mIoU', 'unseen_mIoU', 'seen_mIoU', 'mIoU_union', 'unseen_mIoU_union')


def measure(record: Mapping, name: str, benchmark: str | None = None) -> float | None:
    """A quantity of one run.

    Args:
        record: ``train`` (``seconds``, ``GiB``) and ``tests``: by benchmark the
            ``scores`` of the metric and ``seconds_per_image``.
        name: ``'train_seconds'``, ``'GiB'``, ``'seconds_per_image'`` or a score.
        benchmark: Where the quantity is one of a benchmark.

    Returns:
        float, optional: None where the record has no such quantity.
    """
    if name in OF_A_TRAINING:
        return (record.get('train') or {}).get(name.removeprefix('train_'))
    test = (record.get('tests') or {}).get(benchmark) or {}
    if name == 'seconds_per_image':
        return test.get(name)
    return (test.get('scores') or {}).get(name)


def spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None for less than two values."""
    return stdev(values) if len(values) > 1 else None


def summary(values: Sequence[float]) -> dict[str, Any] | None:
    """Mean, standard deviation and number of values; None if there are none."""
    if not values:
        return None
    return dict(mean=mean(values), std=spread(values), seeds=len(values))


def column_values(records: Records, config: str, column: Column, world: str
                  ) -> list[float]:
    """One value per seed that has it."""
    place = column.benchmark
    benchmark = None if place is None else WORLDS[world].benchmarks[place]
    values = [measure(record, column.measure, benchmark)
              for _, record in sorted(records.get(config, {}).items())]
    return [value for value in values if value is not None]


# ------------------------------------------------------------------------- claims

def _difference(claim: Claim, first: Mapping, second: Mapping, world: str
                ) -> float | None:
    """first - second of one seed; scores over the benchmarks that both have."""
    names: Sequence[str | None] = WORLDS[world].benchmarks
    if claim.measure in OF_A_TRAINING:
        names = [None]
    pairs = [(measure(first, claim.measure, name), measure(second, claim.measure, name))
             for name in names]
    whole = [a - b for a, b in pairs if a is not None and b is not None]
    return mean(whole) if whole else None


def _verdict(claim: Claim, differences: Sequence[float]) -> str:
    """What differences, of which a claim wants large ones, say about it."""
    if not differences:
        return 'not run'
    average, deviation = mean(differences), spread(differences)
    if claim.rule == 'keeps':
        holds = average >= -claim.margin
    elif deviation is None:
        return 'needs two seeds'
    elif claim.rule == 'loses nothing':
        holds = average >= -deviation
    else:
        holds = average > deviation
    return 'holds' if holds else 'fails'


def judge(claim: Claim, records: Records, world: str) -> dict[str, Any]:
    """Whether a claim holds, from differences of runs with the same seed.

    Args:
        claim: The claim.
        records: Of all finished runs.
        world: Key of ``WORLDS``.

    Returns:
        dict: ``claim``, ``verdict`` ('holds', 'fails', 'not run', or 'needs two
        seeds' where a spread is asked for), ``mean`` and ``std`` of the difference
        (what is saved, for 'saves'), ``seeds`` and the ``differences``.
    """
    first, second = records.get(claim.first, {}), records.get(claim.second, {})
    differences = {}
    for seed in sorted(set(first) & set(second)):
        value = _difference(claim, first[seed], second[seed], world)
        if value is not None:
            differences[seed] = -value if claim.rule == 'saves' else value
    values = list(differences.values())
    return dict(claim=claim.text, measure=claim.measure, first=claim.first,
                second=claim.second, rule=claim.rule, verdict=_verdict(claim, values),
                mean=mean(values) if values else None, std=spread(values),
                seeds=len(values), differences=differences)


# ------------------------------------------------------------------------- report

def _cells(table: Table, row: Row, world: str, records: Records, figures: Figures
           ) -> list[dict[str, Any]]:
    """The paper's figure and ours of each column."""
    paper = dict(zip([c.paper for c in table.columns if c.paper], row.paper))
    names = WORLDS[world].benchmarks
    cells = []
    for column in table.columns:
        ours = None
        if row.config:
            value = figures.get(row.config, {}).get(column.measure)
            ours = summary(column_values(records, row.config, column, world)
                           if value is None else [value])
        heading = column.ours
        if heading is None and column.benchmark is not None:
            heading = names[column.benchmark]
        cells.append(dict(
            paper=paper.get(column.paper) if column.paper else None,
            paper_heading=column.paper, heading=heading, ours=ours,
            digits=column.digits))
    return cells


def _beside(config: str, world: str, records: Records) -> dict[str, dict]:
    """By benchmark the scores that are told beside the table."""
    return {name: {metric: summary(column_values(
        records, config, Column(metric, place), world)) for metric in _BESIDE}
        for place, name in enumerate(WORLDS[world].benchmarks)}


def report(table: Table, world: str, records: Records, seeds: Sequence[int],
           figures: Figures | None = None) -> dict[str, Any]:
    """Everything that is known about a table, in plain types.

    Args:
        table: The plan.
        world: Key of ``WORLDS``.
        records: Of all finished runs.
        seeds: Those asked for; records of others are left out.
        figures: By configuration: values by the name of a column's quantity that do
            not come from runs, as those of Table II.

    Returns:
        dict: ``rows`` with the paper's figures and ours side by side, ``claims``, and
        the ``records`` behind them; what was not computed is None.
    """
    records = {config: {seed: record for seed, record in runs.items() if seed in seeds}
               for config, runs in records.items() if config in table.configs()}
    rows = [dict(
        name=row.name, config=row.config, of_paper=bool(row.paper),
        seeds=sorted(records.get(row.config, {})) if row.config else [],
        cells=_cells(table, row, world, records, figures or {}),
        benchmarks=_beside(row.config, world, records) if row.config else None)
        for row in table.rows]
    names = WORLDS[world].benchmarks
    return dict(table=table.number, title=table.title, world=world, rule=RULE,
                seeds=list(seeds), stands_for=dict(zip(names, PAPER_BENCHMARKS)),
                rows=rows, claims=[judge(c, records, world) for c in table.claims],
                records=records)
