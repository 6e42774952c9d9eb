"""Measure where a model gains and loses on its config's test set.

    dcpclip measure selection configs/dcpclip_mini_frozen.py none
    dcpclip measure tags CONFIG CHECKPOINT --top-k 1 3 5
    dcpclip measure errors CONFIG CHECKPOINT --pictures 200

The model, or CLIP alone, runs once per picture.
"""

import argparse
from typing import Any

from ..files import check_file
from .common import (
    add_cfg_options,
    add_checkpoint,
    add_config,
    add_device,
    add_json,
    add_subcommand,
    checkpoint_of,
    load_config,
    positive,
    print_table,
)

SELECTION = """Measure the dynamic category selection.

For every threshold and both forms: recall of the categories that are in the picture
(mean over pictures) and how many are selected. CLIP runs once per picture."""
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    commands = parser.add_subparsers(metavar='WHAT', required=True)
    selection = add_subcommand(commands, parser, 'selection', 'which categories are '
                               'selected, by theta and form', SELECTION, _selection)
    errors = add_subcommand(commands, parser, 'errors', 'what wrong selections, masks '
                            'and names cost', ERRORS, _errors)
    tags = add_subcommand(commands, parser, 'tags', 'what tag validation changes, by '
                          'k', TAGS, _tags)
    for command in (selection, errors, tags):
        add_config(command)
        add_checkpoint(command)
        command.add_argument('--pictures', type=positive, metavar='N',
                             help='no more than these')
        add_json(command)
        add_device(command)
        add_cfg_options(command)
    selection.add_argument('--theta', type=_probability, nargs='+',
                           default=[0.9, 0.8, 0.5, 0.2, 0.05, 0.0],
                           help='thresholds of the image score')
    tags.add_argument('--top-k', type=positive, nargs='+',
                      default=[1, 2, 3, 5, 10, 20], help='values of k')


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    return args.action(args)


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number from 0 to 1')
    return value


def _open(args: argparse.Namespace) -> tuple[Any, Any, Any]:
    """The config, its model and its test set."""
    if args.json is not None:
        check_file(args.json)
    config = load_config(args.config, args.cfg_options)
    from ..apis.test_set import open_test_set
    return config, *open_test_set(config, checkpoint_of(args.checkpoint), args.device)


def _selection(args: argparse.Namespace) -> int:
    from ..evaluation.diagnostics import selection_rows
    _, model, loader = _open(args)
    rows = selection_rows(model, loader, args.theta, args.pictures)
    print_table(('theta', 'form', 'recall', 'selected'), [
        (f'{row["theta"]:g}', row['form'], f'{row["recall"]:.3f}',
         f'{row["selected"]:.1f}') for row in rows], _title(rows, model))
    return _keep(rows, args)


def _errors(args: argparse.Namespace) -> int:
    from ..evaluation.diagnostics import error_rows, seen_by
    config, model, loader = _open(args)
    seen = seen_by(config.test_evaluator, model.vocabulary.names)
    rows = error_rows(model, loader, seen, args.pictures)
    scores = [key for key in rows[0] if key.endswith('mIoU')]
    print_table(('repaired', *scores), [
        (row['repaired'], *(f'{row[key]:.2f}' for key in scores)) for row in rows],
        _title(rows, model))
    return _keep(rows, args)


def _tags(args: argparse.Namespace) -> int:
    from ..evaluation.diagnostics import tag_rows
    _, model, loader = _open(args)
    rows = tag_rows(model, loader, args.top_k, args.pictures)
    counts = ('renamed', 'right_before', 'right_after')
    lines = []
    for row in rows:
        off = row['top_k'] is None
        lines.append(('off' if off else str(row['top_k']),
                      *('' if off else str(row[name]) for name in counts),
                      f'{row["mIoU"]:.2f}', f'{row["unseen_mIoU"]:.2f}'))
    print_table(
        ('k', 'renamed', 'right before', 'right after', 'mIoU', 'unseen mIoU'), lines,
        f'{_title(rows, model)}, {rows[0]["regions"]} regions of unseen categories')
    return _keep(rows, args)


def _title(rows: list[dict], model: Any) -> str:
    return f'{rows[0]["pictures"]} pictures, {len(model.vocabulary)} categories'


def _keep(rows: list[dict], args: argparse.Namespace) -> int:
    """Write the rows if a file was named."""
    if args.json is not None:
        from ..files import write_json
        write_json(args.json, rows)
    return 0
