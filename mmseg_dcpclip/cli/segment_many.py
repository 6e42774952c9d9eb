"""``dcpclip segment`` for any number of pictures: its progress and how it ended."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..apis.bulk import BulkOptions, Processes, segment_all
from ..apis.bulk.parts import Share, Source
from ..apis.bulk.run import LEFT_OUT as LIST_OF_BAD
from ..apis.bulk.run import Progress
from ..apis.bulk.summary import check_summary
from ..files import check_file
from .common import say
from .segment import LEFT_OUT

if TYPE_CHECKING:
    from ..apis import Predictor
    from ..vocabulary import Vocabulary

SHOWN = 3  # of them, on the screen


def options_of(args: argparse.Namespace) -> BulkOptions:
    """The options that arguments mean; what would fail late is refused.

    Raises:
        ValueError: A number of workers or pictures, or the summary's ending.
        OSError: The summary cannot be written.
    """
    options = BulkOptions(draw=args.overlays, summary=args.summary,
                          background=args.background)
    if args.workers is not None:
        options.workers = args.workers
    if args.batch_size is not None:
        options.batch_size = args.batch_size
    options.check()
    if args.summary is not None:
        check_summary(args.summary)
        check_file(args.summary)
    return options


def segment_many(args: argparse.Namespace, predictor: 'Predictor', source: Source,
                 vocabulary: 'Vocabulary', options: BulkOptions) -> int:
    """Segment a source and tell how it went.

    Returns:
        int: 0; 3 where pictures were left out; of several processes, by the last one.

    Raises:
        ValueError: No picture could be used; or as ``segment_all`` does.
    """
    args.saved = lambda: (f'what is written to {args.out} stays, and the same command '
                          'goes on from there')
    begin = time.monotonic()
    with _progress(source) as progress:
        result = segment_all(predictor, source, args.out, vocabulary, options, progress)
    seconds = time.monotonic() - begin
    there = f', {result.before} were there' if result.before else ''
    speed = f'; {result.written / seconds:.1f} a second' if result.written else ''
    say(f'{args.out}: {result.written} written{there}{speed}')
    if result.bad is None:
        say('other processes still work; the last one writes what is about all')
        return 0
    if options.summary is not None:
        say(f'{options.summary}: picture, word, share, score')
    if not result.bad:
        return 0
    text = f'{len(result.bad)} left out, see {args.out / LIST_OF_BAD}: '
    text += '; '.join(list(result.bad.values())[:SHOWN])
    text += '; ...' if len(result.bad) > SHOWN else ''
    if not result.written and not result.before:
        raise ValueError(text)
    print(f'dcpclip segment: {text}', file=sys.stderr)
    return LEFT_OUT


@contextmanager
def _progress(source: Source) -> Iterator[Progress]:
    """A bar with pictures a second, of the first process."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )

    class Speed(ProgressColumn):
        """Pictures a second."""

        def render(self, task: Task) -> str:
            speed = task.finished_speed or task.speed
            return '' if speed is None else f'{speed:.1f}/s'

    processes = Processes.here()
    text = 'segmenting' + (f' ({processes.rank + 1} of {processes.count} processes)'
                           if processes.count > 1 else '')
    with Progress(TextColumn(text), BarColumn(), MofNCompleteColumn(), Speed(),
                  TimeRemainingColumn(), console=Console(stderr=True),
                  disable=processes.rank > 0) as bar:
        task = bar.add_task(text, total=source.count(
            Share(processes.rank, processes.count)))
        yield lambda number: bar.advance(task, number)
