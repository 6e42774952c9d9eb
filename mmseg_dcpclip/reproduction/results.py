"""Gathers what the finished runs of a plan have left, and writes the tables."""

from pathlib import Path
from statistics import mean
from typing import Any

from ..files import write_atomic, write_json
from .layout import markdown
from .plan import Plan, Run
from .report import Records, measure, report
from .settings import read_json
from .tables import FULL, WORLDS, Table

EFFICIENCY_NOTE = ('GFLOPs: 1e9 multiply-adds. Learnable: counted the paper\'s way, '
                   'with q and v of both CLIP towers.')


def _record(job: Run, name: str) -> dict[str, Any]:
    """Of a training and its test with a configuration."""
    folder = job.folder / f'test-{name}'
    # Only what was tested has scores, and costs, in the same order.
    rows = [row for row in read_json(folder / 'benchmarks.json')['benchmarks']
            if row['scores']]
    costs = read_json(folder / 'cost.json').get('tests') or [{}] * len(rows)
    tests = {row['name']: dict(scores=row['scores'], images=row['images'],
                               seconds_per_image=cost.get('seconds_per_image'))
             for row, cost in zip(rows, costs)}
    return dict(folder=str(job.folder), tests=tests, digest=job.tests[name],
                train=read_json(job.folder / 'record.json') or None)


def gather_records(plan: Plan) -> dict[str, dict[int, dict]]:
    """Records of all finished trainings and tests with the plan's settings.

    Args:
        plan: With the jobs.

    Returns:
        dict: By configuration, then by seed; see ``report.measure``.
    """
    found: dict[str, dict[int, dict]] = {}
    for job in plan.jobs:
        for name in filter(job.tested, job.tests):
            found.setdefault(name, {})[job.seed] = _record(job, name)
    return found


def efficiency_figures(plan: Plan, records: Records) -> dict[str, dict[str, float]]:
    """What was computed of our rows of Table II.

    Args:
        plan: Its folder has ``efficiency.json``, or figures are not there yet.
        records: Of finished runs; they give training time and mIoU.
    """
    world = WORLDS[plan.settings.world]
    figures = {}
    for row in read_json(plan.settings.out / 'efficiency.json').get('efficiency', []):
        name = FULL if row['model'] == world.full else row['model']
        own = figures[name] = dict(
            learnable=row['learnable_paper_m'], total=row['total_m'],
            seconds=row['seconds']['median'], gflops=row['gflops'])
        for key, factor, quantity in (('train_minutes', 60, 'train_seconds'),
                                      ('mIoU', 1, 'mIoU')):
            values = [measure(record, quantity, world.benchmarks[2])
                      for record in records.get(name, {}).values()]
            known = [value for value in values if value is not None]
            if known:
                own[key] = mean(known) / factor
    return figures


def _cost_note(records: Records) -> str:
    """How the figures of Table VII were measured."""
    trainings = [record['train'] for runs in records.values()
                 for record in runs.values() if record['train']]
    kinds = sorted({training['memory'] for training in trainings})
    jobs = sorted({str(training['jobs']) for training in trainings})
    return (f'Memory: peak of {", ".join(kinds) or "not run"}. Recall and selected: of '
            'the first benchmark. Runs at once while timed: '
            f'{", ".join(jobs) or "-"}.')


def _content(plan: Plan, table: Table, records: Records) -> dict[str, Any]:
    """The report of a table, with its notes."""
    figures, notes = None, []
    if table.number == 2:
        figures, notes = efficiency_figures(plan, records), [EFFICIENCY_NOTE]
    elif table.number == 7:
        notes = [_cost_note(records)]
    settings = plan.settings
    return report(table, settings.world, records, settings.seeds, figures) | dict(
        notes=notes)


def write_tables(plan: Plan) -> list[tuple[Path, dict[str, Any]]]:
    """Write every table of a plan as JSON and Markdown.

    Args:
        plan: With the tables.

    Returns:
        list[tuple[Path, dict]]: By table its files without their endings, and what
        they tell, as ``report.report`` returns it, with ``notes``.
    """
    records = gather_records(plan)
    written = []
    for table in plan.tables:
        content = _content(plan, table, records)
        stem = plan.settings.out / f'table{table.number}'
        write_json(stem.with_suffix('.json'), content)
        write_atomic(stem.with_suffix('.md'), markdown(content).encode())
        written.append((stem, content))
    return written
