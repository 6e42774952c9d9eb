"""Draw contact sheets of predictions.

    dcpclip figures fig6 --seed 0
    dcpclip figures tv --world real --benchmark ade20k_150
    dcpclip figures fig6 --model "frozen=configs/a.py:none" \\
        --model "tuned=configs/b.py:work_dirs/b/iter_1000.pth"

fig6: image, ground truth, baseline, + DCS, + TGA, + SED, + TV, of pictures with unseen
categories. fig7: image, ground truth and the whole model on four benchmarks. tv: with
and without tag validation, pictures where it changes most. The weights are those of
`dcpclip reproduce table3`, unless models are given.
"""

import argparse
from pathlib import Path

from ..files import check_file, check_folder
from ..reproduction.sheets import COLUMNS, benchmarks_of, find_models, parse_models
from ..reproduction.tables import WORLDS
from ..shipped import configs_folder
from .common import (
    add_cfg_options,
    add_data_root,
    add_device,
    positive,
    say,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``figures``."""
    parser.add_argument('sheet', choices=list(COLUMNS))
    parser.add_argument('--world', choices=list(WORLDS), default='mini',
                        help="the small drawn world, its scenes, or the paper's data")
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce'),
                        help='of `dcpclip reproduce`')
    parser.add_argument('--seed', type=int, default=0, help='of the trainings')
    parser.add_argument('--model', action='append', default=[],
                        metavar='HEADING=CONFIG:CHECKPOINT',
                        help="a column; give it once per model, checkpoint or 'none'")
    parser.add_argument('--benchmark', help='default: the one with the most classes')
    add_data_root(parser)
    parser.add_argument('--pictures', type=positive, default=5)
    parser.add_argument('--look-at', type=positive, default=100,
                        help='pictures of the benchmark among which to choose')
    parser.add_argument('--out', type=Path, help='the PNG')
    add_device(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``figures``."""
    check_folder(args.work_dir)
    if args.out is not None:
        check_file(args.out)
    models = parse_models(args.model) or find_models(
        args.sheet, args.world, args.work_dir, args.seed, configs_folder())
    say(*(f'{heading}: {config}, {checkpoint}'
          for heading, (config, checkpoint) in models.items()))
    from ..reproduction.drawing import make_sheet
    from ..reproduction.pictures import load_models, sheet_rows
    predictors = load_models(models, args.cfg_options, args.device)
    names = [args.benchmark] if args.benchmark else benchmarks_of(
        args.sheet, args.world)
    rows = sheet_rows(args.sheet, predictors, names, args.data_root, args.pictures,
                      args.look_at, say)
    sheet = make_sheet(['image', 'ground truth', *predictors], rows)
    out = args.out or args.work_dir / args.world / f'{args.sheet}.png'
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)
    say(f'written to {out} ({sheet.width} x {sheet.height})')
    return 0
