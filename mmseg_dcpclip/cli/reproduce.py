"""Reproduce tables of the paper: run what is missing, print the paper's and ours.

    dcpclip reproduce table3 table7 --world mini --seeds 0 1 2 3 4 --jobs 2
    dcpclip reproduce all --world real --gpus 4

Interrupted, the same command goes on where it stopped. Runs that tables share are
trained once; finished ones are not repeated. Settings that changed train anew, in a
folder of their own.
"""

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..reproduction.tables import WORLDS
from .common import add_data_root, positive, say

if TYPE_CHECKING:
    from ..reproduction.plan import Plan
    from ..reproduction.settings import Settings

TABLES = [f'table{number}' for number in range(1, 8)]  # of the paper
BEYOND = 'table8'
WIDTH = 160  # tables are wide: columns, in a pipe as well


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``reproduce``."""
    parser.add_argument('tables', nargs='+', choices=[*TABLES, 'all', BEYOND],
                        metavar='table', help='table1 to table7 of the paper, or all '
                        'of them; table8: choices beyond the paper')
    parser.add_argument('--world', choices=list(WORLDS), default='mini',
                        help="the small drawn world, its scenes, or the paper's data")
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2, 3, 4])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce'))
    parser.add_argument('--iters', type=positive,
                        help='iterations of each training, for quick trials')
    parser.add_argument('--jobs', type=positive, default=1,
                        help='runs at once; they share the cores')
    parser.add_argument('--gpus', type=positive, default=1, help='of one run')
    add_data_root(parser)
    parser.add_argument('--dry-run', action='store_true',
                        help='print the plan and its commands only')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
                        type=_option,
                        help='changes of all configs, for training and tests')
    parser.set_defaults(refuse=parser.error)


def _option(text: str) -> str:
    """KEY=VALUE, which other commands get as it is."""
    if '=' not in text:
        raise argparse.ArgumentTypeError(f'expected KEY=VALUE, got {text}')
    return text


def run(args: argparse.Namespace) -> int:
    """Run ``reproduce``."""
    settings = _settings(args)
    from ..reproduction.commands import describe
    from ..reproduction.plan import Plan
    from ..reproduction.workers import Workers
    plan = Plan(settings)
    say(*describe(plan, with_commands=args.dry_run))
    if args.world == 'real' and plan.jobs and not _complete(plan):
        say('not started: complete the data and weights above, then give the same '
            'command again')
        return 1
    if args.dry_run:
        return 0
    workers, interrupted = Workers(plan, say), False
    with _sigterm_interrupts():
        try:
            workers.run()
            if plan.with_efficiency:
                workers.efficiency()
        except KeyboardInterrupt:
            interrupted = True
        _print_tables(plan)
    if interrupted:
        say('interrupted; the same command goes on from the last checkpoints')
        return 130
    if workers.failed:
        say(f'failed: {", ".join(workers.failed)}; the same command tries again')
        return 1
    return 0


def _settings(args: argparse.Namespace) -> 'Settings':
    from ..reproduction.settings import Settings
    names = [name for name in args.tables if name != 'all']
    if 'all' in args.tables:
        names += TABLES
    try:
        return Settings(
            tables=[int(name.removeprefix('table')) for name in names],
            world=args.world, seeds=list(dict.fromkeys(args.seeds)),
            work_dir=args.work_dir, iters=args.iters, jobs=args.jobs, gpus=args.gpus,
            data_root=args.data_root, cfg_options=args.cfg_options)
    except ValueError as error:
        return args.refuse(str(error))


def _complete(plan: 'Plan') -> bool:
    """Tell what is missing for the real world."""
    from ..reproduction.missing import check_data, missing_weights
    lines, complete = check_data(plan.settings.data_root)
    missing = missing_weights(plan)
    say(*lines, *missing)
    return complete and not missing


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does, where Python lets a signal be handled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _print_tables(plan: 'Plan') -> None:
    """Write the tables, and print them."""
    from rich.console import Console
    from rich.table import Table as Grid

    from ..reproduction.layout import grids
    from ..reproduction.results import write_tables
    console = Console(width=max(Console().width, WIDTH))
    for stem, content in write_tables(plan):
        for caption, (head, *body) in grids(content).items():
            grid = Grid(*head, title=f'Table {content["table"]}, {content["title"]}, '
                        f'{content["world"]} world: {caption}')
            for line in body:
                grid.add_row(*line)
            console.print(grid)
        for note in (content['rule'], *content['notes']):
            console.print(note)
        console.print(f'written to {stem}.json and .md', soft_wrap=True)
