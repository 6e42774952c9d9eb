"""Measure what an image costs, as a multiple of the bare CLIP encoder.

    dcpclip benchmark --classes 20 847 100000 --selected 24 --json out.json
    dcpclip benchmark --efficiency
    dcpclip benchmark --pipeline --count 64 --workers 2
    dcpclip benchmark --read-outs kk_gauss self_calibrated --size 336
    dcpclip benchmark --launches --classes 150 --selected 24
    dcpclip benchmark --modes --classes 847 --selected 24
    dcpclip benchmark --static --classes 847 --selected 24

Weights, image and words are random: they do not change what is computed. All cases are
timed in turn in one process, training steps after the others. In place of that
--efficiency prints the columns of the paper's Table II, --pipeline pictures a second
from JPEG to label PNG on disk beside those of the bare network, --read-outs what the
encoder alone takes with each of them, --modes what a picture takes in each mode of the
config and with further forms of it, --static the network with a fixed number of
categories, as it is and by torch.compile, and --launches how many kernels a prediction
launches on a GPU and how often it waits for it, counted on a simulated one.
"""

import argparse
import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..shipped import config_path, find_config
from ..version import __version__
from .common import add_cfg_options, add_device, add_json, load_config, positive

if TYPE_CHECKING:
    from ..evaluation.cost import Conditions

DEFAULT_CONFIG = 'dcpclip_vitb16_coco'
EFFICIENCY_CONFIGS = ('dcpclip_vitb16_coco_paper', 'dcpclip_vitl14_coco_paper')
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
    phases = ['forward', 'selection', 'postprocess', 'train']
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
    parser.add_argument('--pipeline', action='store_true',
                        help='pictures a second from disk to disk instead')
    parser.add_argument('--pictures', type=Path, metavar='FOLDER',
                        help='of the pipeline (default: random ones)')
    parser.add_argument('--count', type=positive, default=64,
                        help='random pictures (default: 64)')
    parser.add_argument('--picture-size', type=positive, nargs=2, default=[512, 683],
                        metavar=('HEIGHT', 'WIDTH'), help='of random pictures')
    parser.add_argument('--workers', type=int, default=2,
                        help='processes that read pictures (default: 2)')
    parser.add_argument('--batch-size', type=positive, default=8,
                        help='of the pipeline (default: 8)')
    parser.add_argument('--modes', action='store_true',
                        help="time the config's modes, and --tta, instead")
    parser.add_argument('--static', action='store_true',
                        help='time the network of fixed shapes, compiled and not, '
                        'instead')
    parser.add_argument('--launches', action='store_true',
                        help='count kernels and waits on a simulated GPU instead')
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
    kind = next((kind for kind in INSTEAD if getattr(args, kind)), None)
    head |= INSTEAD[kind](args) if kind else _rows(args)
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
    asked = [kind for kind in INSTEAD if getattr(args, kind)]
    if len(asked) > 1:
        args.refuse(f'{" and ".join(map(_flag, asked))} are different measurements; '
                    'choose one')
    for kind in asked:
        if kind != 'read_outs' and set(args.selected) == {'auto'}:
            args.refuse(f'{_flag(kind)} needs a number in --selected')
        if args.plot:
            args.refuse(f'--plot draws the ratios, which {_flag(kind)} does not '
                        'measure')
    for path in filter(None, (args.json, args.plot)):
        if path.is_dir():
            args.refuse(f'{path} is a folder; name a file')
        path.parent.mkdir(parents=True, exist_ok=True)


def _conditions(args: argparse.Namespace) -> 'Conditions':
    from ..evaluation.cost import Conditions
    return Conditions(size=args.size, device=args.device, amp=args.amp,
                      compiled=args.compile, repeats=args.repeats, warmup=args.warmup)


def _config_of(args: argparse.Namespace) -> tuple[str, Any]:
    """The name of the config's file, and the config."""
    path = args.config or config_path(DEFAULT_CONFIG)
    return path.name, load_config(path, args.cfg_options)


def _rows(args: argparse.Namespace) -> dict:
    """Measure the rows."""
    from ..evaluation import cost
    name, config = _config_of(args)
    bench = cost.Bench(cost.random_model(config, args.device), _conditions(args))
    cases = cost.clip_cases(bench, args.phases)
    if 'dcpclip' in args.models:
        if 'train' in args.phases:
            cases += cost.train_cases(bench, args.train_categories)
        cases += cost.inference_cases(bench, args.classes, args.selected, args.phases)
    if 'san' in args.models:
        cases += cost.san_cases(bench, args.classes, args.phases, args.san_max_classes)
    rows, reference = cost.measure_cases(bench, cases)
    return dict(config=name, open_clip_seconds=reference, rows=rows)


def _efficiency(args: argparse.Namespace) -> dict:
    """Measure the columns of Table II."""
    from ..evaluation.cost.efficiency_row import PAPER, efficiency_row
    paths = [args.config] if args.config else [
        config_path(name) for name in EFFICIENCY_CONFIGS]
    number = _number_of(args)
    rows = [efficiency_row(path.stem, load_config(path, args.cfg_options),
                           _conditions(args), number) for path in paths]
    return dict(efficiency=rows, paper=PAPER)


def _pipeline(args: argparse.Namespace) -> dict:
    """Measure pictures from disk to disk."""
    from ..apis.bulk import BulkOptions
    from ..apis.bulk.measuring import PipelineConditions, measure_pipeline
    options = BulkOptions(workers=args.workers, batch_size=args.batch_size)
    options.check()
    name, config = _config_of(args)
    return dict(config=name, pipeline=measure_pipeline(
        config, PipelineConditions(
            pictures=args.pictures, count=args.count,
            picture_size=tuple(args.picture_size), classes=min(args.classes),
            selected=_number_of(args), options=options,
            device=args.device, repeats=args.repeats)))


def _read_outs(args: argparse.Namespace) -> dict:
    """Measure the encoder with several read-outs."""
    from ..evaluation import cost
    name, config = _config_of(args)
    return dict(config=name, read_outs=cost.read_out_rows(
        config, args.read_outs, _conditions(args)))


def _launches(args: argparse.Namespace) -> dict:
    """Count what predictions launch."""
    from ..evaluation import cost
    name, config = _config_of(args)
    return dict(config=name, launches=cost.launch_rows(
        cost.random_model(config, 'cpu'), min(args.classes), _number_of(args),
        args.size))


def _modes(args: argparse.Namespace) -> dict:
    """Measure the modes."""
    from ..evaluation import cost
    name, config = _config_of(args)
    return dict(config=name, modes=cost.mode_rows(
        config, min(args.classes), _number_of(args), _conditions(args)))


def _static(args: argparse.Namespace) -> dict:
    """Measure the network of fixed shapes."""
    from ..evaluation import cost
    name, config = _config_of(args)
    return dict(config=name, static=cost.static_rows(
        config, min(args.classes), _number_of(args), _conditions(args)))


def _number_of(args: argparse.Namespace) -> int:
    """The first number of --selected."""
    return next(n for n in args.selected if n != 'auto')


# What is measured in place of the rows, by flag.
INSTEAD = dict(efficiency=_efficiency, pipeline=_pipeline, read_outs=_read_outs,
               launches=_launches, modes=_modes, static=_static)


def _flag(kind: str) -> str:
    return f'--{kind.replace("_", "-")}'


def _print(head: dict) -> None:
    """Print the table, and why a row is missing."""
    from rich.console import Console

    from . import cost_tables
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    kind = next((kind for kind in INSTEAD if kind in head), 'rows')
    table = getattr(cost_tables, f'{kind}_table')
    console.print(table(head))
    for row in head.get('rows', ()):
        if 'not_run' in row:
            console.print(f'{row["model"]}, {row["classes"]} words, {row["phase"]}: '
                          f'{row["not_run"]}')
