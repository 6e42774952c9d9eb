"""Measure what an image costs, as a multiple of the bare CLIP encoder.

    dcpclip benchmark --classes 20 847 100000 --selected 24 --json out.json
    dcpclip benchmark --efficiency
    dcpclip benchmark --read-outs kk_gauss self_calibrated --size 336

Weights, image and words are random: they do not change what is computed. All cases are
timed in turn in one process, training steps after the others. With --efficiency the
columns of the paper's Table II are printed instead, with --read-outs what the encoder
alone takes with each of them, as multiples of the plain one.
"""

import argparse
import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..shipped import config_path, find_config
from ..version import __version__
from .common import add_cfg_options, add_device, add_json, load_config, positive

if TYPE_CHECKING:
    from ..evaluation.cost import Conditions

DEFAULT_CONFIG = 'dcpclip_vitb16_coco'
EFFICIENCY_CONFIGS = (DEFAULT_CONFIG, 'dcpclip_vitl14_coco')
WIDTH = 120  # of a pipe, which has none of its own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``benchmark``."""
    parser.add_argument('--config', type=Path,
                        help='default: ViT-B/16, with --efficiency also ViT-L/14')
    add_cfg_options(parser)
    parser.add_argument('--classes', type=positive, nargs='+',
                        default=[20, 59, 150, 459, 847, 10000, 100000],
                        help='numbers of words')
    parser.add_argument('--selected', type=_selected, nargs='+', default=[24, 'auto'],
                        help="selected categories, or 'auto' for the selection's own")
    parser.add_argument('--train-categories', type=positive, nargs='+',
                        default=[24, 171], help='selected categories in training')
    parser.add_argument('--size', type=positive, default=384, help='of the crop')
    parser.add_argument('--models', nargs='+', choices=['clip', 'dcpclip', 'san'],
                        default=['clip', 'dcpclip', 'san'],
                        help='clip, the unit, is always measured')
    phases = ['forward', 'postprocess', 'train']
    parser.add_argument('--phases', nargs='+', default=phases, choices=phases,
                        help='what is measured (default: all)')
    parser.add_argument('--san-max-classes', type=positive, default=847,
                        help='SAN holds a map of every word: no more than these')
    add_device(parser)
    parser.add_argument('--amp', choices=['none', 'bf16', 'fp16'], default='none',
                        help='mixed precision')
    parser.add_argument('--threads', type=positive, help='of the CPU')
    parser.add_argument('--repeats', type=positive, default=7, help='timed rounds')
    parser.add_argument('--warmup', type=int, default=1, help='rounds before these')
    parser.add_argument('--compile', action='store_true',
                        help='neck and head by torch.compile')
    parser.add_argument('--efficiency', action='store_true',
                        help="print the columns of the paper's Table II instead")
    parser.add_argument('--read-outs', nargs='+', metavar='NAME',
                        help='measure the encoder with these read-outs instead')
    add_json(parser)
    parser.add_argument('--plot', type=Path, metavar='FILE',
                        help='draw the ratios there')
    parser.set_defaults(refuse=parser.error)


def _selected(text: str) -> int | str:
    return text if text == 'auto' else positive(text)


def run(args: argparse.Namespace) -> int:
    """Run ``benchmark``."""
    _check(args)
    import torch
    from mmengine.registry import init_default_scope

    from ..evaluation.cost.measuring import NOTES
    from ..evaluation.efficiency import describe_machine
    from ..files import write_json
    if args.threads:
        torch.set_num_threads(args.threads)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    head = dict(
        command=shlex.join(['dcpclip', *sys.argv[1:]]), version=__version__,
        date=datetime.now().astimezone().isoformat(timespec='seconds'),
        machine=describe_machine(args.device),
        precision='fp32' if args.amp == 'none' else args.amp, size=args.size,
        compiled=args.compile, repeats=args.repeats, notes=NOTES)
    if args.read_outs:
        head |= _read_outs(args)
    else:
        head |= _efficiency(args) if args.efficiency else _rows(args)
    _print(head)
    if args.json:
        write_json(args.json, head)
    if args.plot:
        from ..evaluation.cost.plot import plot
        plot(head['rows'], args.plot)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse at once what would fail late."""
    if args.config:
        try:
            args.config = find_config(args.config)
        except FileNotFoundError as error:
            args.refuse(f'--config: {error}')
    if args.warmup < 0:
        args.refuse(f'--warmup {args.warmup}: must be 0 or more')
    kind = args.device.partition(':')[0]
    if kind not in ('cpu', 'cuda'):
        args.refuse(f'--device {args.device}: must be cpu, cuda or cuda:N')
    if kind == 'cpu' and args.amp == 'fp16':
        args.refuse('--amp fp16 needs --device cuda; use bf16 on the CPU')
    if args.efficiency and set(args.selected) == {'auto'}:
        args.refuse('--efficiency needs a number in --selected')
    if args.efficiency and args.read_outs:
        args.refuse('--efficiency and --read-outs are two measurements; choose one')
    for name in ('efficiency', 'read_outs'):
        if getattr(args, name) and args.plot:
            args.refuse('--plot draws the ratios, which '
                        f'--{name.replace("_", "-")} does not measure')
    for path in filter(None, (args.json, args.plot)):
        if path.is_dir():
            args.refuse(f'{path} is a folder; name a file')
        path.parent.mkdir(parents=True, exist_ok=True)
    if kind == 'cuda':
        import torch
        if not torch.cuda.is_available():
            args.refuse(f'--device {args.device}: torch finds no CUDA device here; use '
                        '--device cpu')


def _conditions(args: argparse.Namespace) -> 'Conditions':
    from ..evaluation.cost import Conditions
    return Conditions(size=args.size, device=args.device, amp=args.amp,
                      compiled=args.compile, repeats=args.repeats, warmup=args.warmup)


def _rows(args: argparse.Namespace) -> dict:
    """Measure the rows."""
    from ..evaluation import cost
    path = args.config or config_path(DEFAULT_CONFIG)
    config = load_config(path, args.cfg_options)
    bench = cost.Bench(cost.random_model(config, args.device), _conditions(args))
    cases = cost.clip_cases(bench, args.phases)
    if 'dcpclip' in args.models:
        if 'train' in args.phases:
            cases += cost.train_cases(bench, args.train_categories)
        cases += cost.inference_cases(bench, args.classes, args.selected, args.phases)
    if 'san' in args.models:
        cases += cost.san_cases(bench, args.classes, args.phases, args.san_max_classes)
    rows, reference = cost.measure_cases(bench, cases)
    return dict(config=path.name, open_clip_seconds=reference, rows=rows)


def _efficiency(args: argparse.Namespace) -> dict:
    """Measure the columns of Table II."""
    from ..evaluation.cost.efficiency_row import PAPER, efficiency_row
    paths = [args.config] if args.config else [
        config_path(name) for name in EFFICIENCY_CONFIGS]
    number = next(n for n in args.selected if n != 'auto')
    rows = [efficiency_row(path.stem, load_config(path, args.cfg_options),
                           _conditions(args), number) for path in paths]
    return dict(efficiency=rows, paper=PAPER)


def _read_outs(args: argparse.Namespace) -> dict:
    """Measure the encoder with several read-outs."""
    from ..evaluation import cost
    path = args.config or config_path(DEFAULT_CONFIG)
    config = load_config(path, args.cfg_options)
    return dict(config=path.name, read_outs=cost.read_out_rows(
        config, args.read_outs, _conditions(args)))


def _print(head: dict) -> None:
    """Print the table, and why a row is missing."""
    from rich.console import Console

    from .cost_tables import efficiency_table, read_outs_table, rows_table
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    kinds = dict(efficiency=efficiency_table, read_outs=read_outs_table)
    table = next((kinds[key] for key in kinds if key in head), rows_table)
    console.print(table(head))
    for row in head.get('rows', ()):
        if 'not_run' in row:
            console.print(f'{row["model"]}, {row["classes"]} words, {row["phase"]}: '
                          f'{row["not_run"]}')
