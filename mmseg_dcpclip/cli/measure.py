"""Measure where a model gains and loses on its config's test set.

    dcpclip measure selection configs/dcpclip_mini_frozen.py none
    dcpclip measure tags CONFIG CHECKPOINT --top-k 1 3 5
    dcpclip measure errors CONFIG CHECKPOINT --pictures 200
    dcpclip measure background CONFIG CHECKPOINT --thresholds 0.2 0.5
    dcpclip measure changes CONFIG CHECKPOINT --change model.selection.form=purify

The model, or CLIP alone, runs once per picture; for the background once per word.
"""

import argparse
from collections.abc import Callable
from typing import Any

from ..files import check_file
from .common import (
    KeyValue,
    add_cfg_options,
    add_checkpoint,
    add_config,
    add_device,
    add_json,
    add_subcommand,
    positive,
    print_table,
)
from .test_sets import Measured, add_test_sets, measure_sets

SELECTION = """Measure the dynamic category selection.

For every form, and every threshold where it has one: recall of the categories that are
in the picture (mean over pictures) and how many are selected. CLIP runs once per
picture."""
ERRORS = """Measure where a model loses mIoU: selection, names or masks.

Each row repairs one thing with the help of the ground truth and leaves the rest as the
model predicted it:

    true selection  pixels of categories that were not selected become right
    true masks      each true region takes the category that most of its pixels got
    true names      each predicted region takes the category that most of its pixels
                    have

A region is all pixels of one category in one picture."""
TAGS = """Measure tag validation (Eq. 17) for several k.

For every k: how many of the regions that were given to an unseen category are renamed,
how many of these were right before and are right after, and mIoU by the GT-present
rule. A region is right if most of its labelled pixels are of its category."""

BACKGROUND = """Measure thresholds of the background, one word at a time.

Every picture is asked for each of its words alone, and for three that it does not show.
For every threshold: the IoU of words that are there, and how much of a picture words
take that are not, both in percent. A good threshold keeps the first and takes nothing
of the second."""
CHANGES = """Measure what changes of the config do to mIoU.

A row for the config as it is, and one for every --change. mIoU by the GT-present rule,
means over the sets of --first-seeds; in brackets the gain over the first row on the
same pictures, its mean and its range over the sets. Time is that of the median
prediction as a multiple of the first row; rows are measured one after the other."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    commands = parser.add_subparsers(metavar='WHAT', required=True)
    selection = add_subcommand(commands, parser, 'selection', 'which categories are '
                               'selected, by theta and form', SELECTION, _selection)
    errors = add_subcommand(commands, parser, 'errors', 'what wrong selections, masks '
                            'and names cost', ERRORS, _errors)
    tags = add_subcommand(commands, parser, 'tags', 'what tag validation changes, by '
                          'k', TAGS, _tags)
    changes = add_subcommand(commands, parser, 'changes', 'what changes of the config '
                             'do to mIoU', CHANGES, _changes)
    background = add_subcommand(commands, parser, 'background', 'what thresholds of '
                                'the background do', BACKGROUND, _background)
    for command in (selection, errors, tags, changes, background):
        add_config(command)
        add_checkpoint(command)
        add_test_sets(command)
        command.add_argument('--pictures', type=positive, metavar='N',
                             help='no more than these of a set')
        add_json(command)
        add_device(command)
        add_cfg_options(command)
    selection.add_argument('--theta', type=_probability, nargs='+',
                           default=[0.9, 0.8, 0.5, 0.2, 0.05, 0.0],
                           help='thresholds of the image score')
    tags.add_argument('--top-k', type=positive, nargs='+',
                      default=[1, 2, 3, 5, 10, 20], help='values of k')
    background.add_argument('--thresholds', type=_probability, nargs='+',
                            default=[0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
                            help='least probability of a pixel that is of the word')
    changes.add_argument('--change', nargs='+', action=_Changes, default={},
                         metavar='KEY=VALUE', help='a row with these changes of the '
                         'config; may be given again')


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    if args.json is not None:
        check_file(args.json)
    return args.action(args)


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number from 0 to 1')
    return value


class _Changes(KeyValue):
    """Several times KEY=VALUE ...; kept by what was written."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        own = argparse.Namespace()
        super().__call__(parser, own, values, option_string)
        change = {' '.join(values): getattr(own, self.dest)}
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), **change})


def _selection(args: argparse.Namespace) -> int:
    from ..evaluation.diagnostics import selection_rows

    def show(measured: Measured, rows: list[dict]) -> None:
        print_table(('form', 'theta', 'recall', 'selected'), [
            (row['form'], '' if row['theta'] is None else f'{row["theta"]:g}',
             f'{row["recall"]:.3f}', f'{row["selected"]:.1f}') for row in rows],
            measured.title(rows))

    return _joined(args, lambda model, loader, seen: selection_rows(
        model, loader, args.theta, args.pictures), show)


def _errors(args: argparse.Namespace) -> int:
    from ..evaluation.diagnostics import error_rows

    def show(measured: Measured, rows: list[dict]) -> None:
        scores = [key for key in rows[0] if key.endswith('mIoU')]
        print_table(('repaired', *scores), [
            (row['repaired'], *(f'{row[key]:.2f}' for key in scores)) for row in rows],
            measured.title(rows))

    return _joined(args, lambda model, loader, seen: error_rows(
        model, loader, seen, args.pictures), show)


def _tags(args: argparse.Namespace) -> int:
    from ..evaluation.diagnostics import tag_rows

    def show(measured: Measured, rows: list[dict]) -> None:
        counts = ('renamed', 'right_before', 'right_after')
        lines = []
        for row in rows:
            off = row['top_k'] is None
            lines.append(('off' if off else str(row['top_k']),
                          *('' if off else str(row[name]) for name in counts),
                          f'{row["mIoU"]:.2f}', f'{row["unseen_mIoU"]:.2f}'))
        print_table(
            ('k', 'renamed', 'right before', 'right after', 'mIoU', 'unseen mIoU'),
            lines, f'{measured.title(rows)}, {rows[0]["regions"]} regions of unseen '
            'categories')

    return _joined(args, lambda model, loader, seen: tag_rows(
        model, loader, args.top_k, args.pictures), show)


def _background(args: argparse.Namespace) -> int:
    from ..evaluation.diagnostics import single_word_rows

    def show(measured: Measured, rows: list[dict]) -> None:
        print_table(('threshold', 'IoU, there', 'covered, not there'), [
            (f'{row["threshold"]:g}', f'{row["IoU"]:.2f}', f'{row["covered"]:.2f}')
            for row in rows], measured.title(rows))

    return _joined(args, lambda model, loader, seen: single_word_rows(
        model, loader, args.thresholds, args.pictures), show)


def _joined(args: argparse.Namespace, measure: Callable[..., list[dict]],
            show: Callable[[Measured, list[dict]], None]) -> int:
    """Measure, and show one table for each benchmark."""
    from ..evaluation.diagnostics import join_rows
    tables = {}
    for measured in measure_sets(args, measure):
        tables[measured.name] = rows = join_rows(measured.sets)
        show(measured, rows)
    return _keep(tables if args.benchmarks else rows, args)


def _changes(args: argparse.Namespace) -> int:
    from ..evaluation.diagnostics import score_row
    first: list[Measured] = []
    lines, kept = [], []
    for name, change in {'as it is': {}, **args.change}.items():
        found = measure_sets(args, lambda model, loader, seen: [
            score_row(model, loader, seen, args.pictures)], change)
        first = first or found
        scores = [[rows[0]['mIoU'] for rows in own.sets] for own in found]
        cells = []
        for own, base in zip(scores, first):
            gains = [a - b[0]['mIoU'] for a, b in zip(own, base.sets)]
            cells.append(f'{sum(own) / len(own):.2f}' + (
                f' ({sum(gains) / len(gains):+.2f}: {min(gains):+.2f} to '
                f'{max(gains):+.2f})' if change else ''))
        seconds, base_seconds = (
            sum(rows[0]['seconds'] for own in sets for rows in own.sets)
            for sets in (found, first))
        lines.append((name, *cells, f'{seconds / base_seconds:.2f}'))
        kept.append(dict(change=name, time=seconds / base_seconds, **{
            own.name or 'mIoU': rows for own, rows in zip(found, scores)}))
    pictures = [sum(rows[0]['pictures'] for rows in own.sets) for own in first]
    print_table(('change', *(own.name or 'mIoU' for own in first), 'time'), lines,
                f'mIoU, {", ".join(map(str, pictures))} pictures')
    return _keep(kept, args)


def _keep(rows: Any, args: argparse.Namespace) -> int:
    """Write the rows if a file was named."""
    if args.json is not None:
        from ..files import write_json
        write_json(args.json, rows)
    return 0
