"""Check and convert datasets. Nothing is downloaded, and raw data is only read.

    dcpclip data check                        # files and sizes of the splits
    dcpclip data check --labels               # also decode and count every label
    dcpclip data check ade20k_847 --data-root ade20k_847=/data/ade20k_847
    dcpclip data check data/own               # a dataset of your own: reads all of it
    dcpclip data check configs/dcpclip_vitb16_own.py --cfg-options data_root=data/other
    dcpclip data convert color_masks masks --colors colors.csv --out data/own
    dcpclip data convert coco_stuff data/coco_stuff164k
    dcpclip data convert coco_stuff data/coco_stuff164k --check
    dcpclip data draw pictures                # some of the small drawn world, to try on
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..vocabulary import LABEL_SETS
from .common import (
    add_cfg_options,
    add_data_root,
    add_subcommand,
    load_config,
    positive,
    say,
)

if TYPE_CHECKING:
    from ..preparation import Conversion, Report

Action = Callable[[argparse.Namespace], int]
Commands = Any  # argparse keeps the type of its subparsers to itself

CHECK = """Tell for every dataset what is there, what is missing and what to run next.

A dataset of your own is named by its folder (classes.txt, images/{train,val},
labels/{train,val}, as configs/_base_/datasets/own_dataset.py lays it out) or by a
config. All its pictures and labels are read: files that are left out, broken or without
a partner, the values that occur, and classes without a pixel.

The exit status is 1 if anything is missing or wrong."""
CONVERT = """Convert raw labels on all cores.

Finished files are skipped, so an interrupted conversion goes on where it stopped."""
COCO_STUFF = """Prepare the labels of COCO-Stuff 164k.

Raw data, unpacked under one root folder:

    <root>/images/train2017/*.jpg, <root>/images/val2017/*.jpg
    <root>/stuffthingmaps_trainval2017/train2017/*.png, .../val2017/*.png

Written: <root>/annotations/{train2017,val2017}/*_labelTrainIds.png with the ids
0..170 and 255, as mmseg lays them out."""
ADE20K_847 = """Prepare ADE20K-847 from the full ADE20K download.

Raw data: ADE20K_2021_17_01/images/ADE/validation/**/ADE_val_*.jpg and *_seg.png.

Written: <out>/images/validation/*.jpg and <out>/annotations/validation/*.png,
16-bit with the ids 0..846 and 65535. Pictures whose short side is over 512 are
reduced to it with their labels, and are scored at that size."""
PASCAL_CONTEXT = """Prepare Pascal Context with 59, 60 and 459 classes from .mat maps.

Raw data: VOC2010/JPEGImages/*.jpg and the trainval/*.mat files of the 459-class
download, in VOC2010/trainval or in the folder given by --mats.

Written, for the 5104 val images: VOC2010/annotations_pc59/*.png (ids 0..58 and
255), VOC2010/annotations_pc60/*.png (0 for background, ids 1..59),
VOC2010/annotations_pc459/*.png (16-bit, ids 0..458 and 65535) and
VOC2010/ImageSets/PascalContext/val.txt."""
COLOR_MASKS = """Make label ids from masks in colours.

The table holds a class and its colour a line (name,r,g,b; .txt, .csv or .json); ids are
the order of the classes. A class may have several colours. Those named 'ignore' have no
class. Grey and palette masks are read by the colours that they show.

Written: <out>/labels with the subfolders of the masks (8-bit PNGs with 255, or with
more than 255 classes 16-bit PNGs with 65535, where there is no class), and
<out>/classes.txt. Labels that are there already are kept: remove them after a change of
the table."""
COCO_OBJECT = """Prepare COCO-Object from the labels of COCO-Stuff 164k.

Raw data, unpacked under one root folder:

    <root>/images/val2017/*.jpg
    <root>/stuffthingmaps_trainval2017/val2017/*.png

Written: <root>/annotations/val2017/*_instanceTrainIds.png with 0 for background and
the 80 things as 1..80."""
CITYSCAPES = """Prepare the val split of Cityscapes.

Raw data, unpacked under one root folder:

    <root>/leftImg8bit/val/*/*_leftImg8bit.png
    <root>/gtFine/val/*/*_gtFine_labelIds.png

Written beside the labels: *_gtFine_labelTrainIds.png with the ids 0..18 and 255, as
cityscapesScripts writes them."""
SPEED = """Measure label conversion against a bare decode and encode loop.

Labels of 480 x 640 pixels with smooth regions are drawn into a temporary folder and
converted as those of COCO-Stuff are; the bare loop only decodes them and encodes
them again."""
DRAW = """Draw pictures of the small drawn world and say how to segment them.

Each command that is printed names what is in the picture and three things that are
not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    _add_check(commands, parser)
    convert = add_subcommand(commands, parser, 'convert', 'convert raw labels', CONVERT)
    datasets = convert.add_subparsers(metavar='DATASET', required=True)
    _add_coco_stuff(datasets, parser)
    _add_ade20k_847(datasets, parser)
    _add_pascal_context(datasets, parser)
    _add_color_masks(datasets, parser)
    _add_coco_object(datasets, parser)
    _add_cityscapes(datasets, parser)
    speed = add_subcommand(commands, parser, 'speed', 'measure how fast labels are '
                         'converted', SPEED, _speed)
    speed.add_argument('--images', type=positive, default=300, metavar='N',
                       help='number of labels (default: 300)')
    _add_workers(speed)
    draw = add_subcommand(commands, parser, 'draw', 'draw pictures of the small drawn '
                          'world', DRAW, _draw)
    draw.add_argument('out', nargs='?', type=Path, default=Path('pictures'),
                      help='folder (default: pictures)')
    draw.add_argument('--pictures', type=positive, default=3, metavar='N',
                      help='how many (default: 3)')
    draw.add_argument('--scenes', action='store_true',
                      help='pictures whose parts belong together')
    draw.add_argument('--sheet', type=Path, metavar='PNG',
                      help='also all of them with their label maps on one sheet')


def run(args: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    return args.action(args)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--workers', type=positive, metavar='N',
                        help='number of processes (default: one per core)')


def _add_histogram(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--histogram', type=Path, metavar='JSON', help='where to write '
                        'the pixels of each class that a check counts')


def _add_check(commands: Commands, parent: argparse.ArgumentParser) -> None:
    parser = add_subcommand(commands, parent, 'check', 'tell what is there, what is '
                          'missing and what to run next', CHECK, _check)
    parser.add_argument('names', nargs='*', metavar='NAME|FOLDER|CONFIG',
                        help=f'of {", ".join(LABEL_SETS)} (default: all of them), or a '
                        'folder or a config of your own')
    add_data_root(parser)
    add_cfg_options(parser)
    parser.add_argument('--labels', action='store_true',
                        help='decode and count every label (always done for datasets '
                        'of your own)')
    _add_workers(parser)
    _add_histogram(parser)


def _add_converter(commands: Commands, parent: argparse.ArgumentParser, name: str,
                   text: str, description: str, action: Action
                   ) -> argparse.ArgumentParser:
    """Add a converter with the arguments that all converters share."""
    parser = add_subcommand(commands, parent, name, text, description, action)
    parser.add_argument('--check', action='store_true',
                        help='check what was written instead')
    _add_workers(parser)
    _add_histogram(parser)
    return parser


def _add_coco_stuff(commands: Commands, parent: argparse.ArgumentParser) -> None:
    parser = _add_converter(commands, parent, 'coco_stuff', 'COCO-Stuff 164k',
                            COCO_STUFF, _coco_stuff)
    parser.add_argument('root', type=Path, help='such as data/coco_stuff164k')
    parser.add_argument('--out', type=Path,
                        help='label folder (default: <root>/annotations)')
    parser.add_argument('--splits', nargs='+', choices=['train', 'val'],
                        default=['train', 'val'], help='which ones (default: both)')


def _add_ade20k_847(commands: Commands, parent: argparse.ArgumentParser) -> None:
    parser = _add_converter(commands, parent, 'ade20k_847', 'ADE20K with 847 classes',
                            ADE20K_847, _ade20k_847)
    parser.add_argument('raw', type=Path, help='the folder ADE20K_2021_17_01')
    parser.add_argument('--out', type=Path, default=Path('data/ade20k_847'),
                        help='the new dataset (default: data/ade20k_847)')


def _add_pascal_context(commands: Commands, parent: argparse.ArgumentParser) -> None:
    parser = _add_converter(commands, parent, 'pascal_context', 'Pascal Context with '
                            '59, 60 and 459 classes', PASCAL_CONTEXT, _pascal_context)
    parser.add_argument('root', type=Path, help='such as data/VOCdevkit/VOC2010')
    parser.add_argument('--mats', type=Path,
                        help='folder of the .mat files (default: <root>/trainval)')


def _add_color_masks(commands: Commands, parent: argparse.ArgumentParser) -> None:
    parser = add_subcommand(commands, parent, 'color_masks', 'masks in colours',
                            COLOR_MASKS, _color_masks)
    parser.add_argument('masks', type=Path, help='folder with train and val in it')
    parser.add_argument('--colors', type=Path, required=True, metavar='FILE',
                        help='the table of names and colours')
    parser.add_argument('--out', type=Path, default=Path('data/own'),
                        help='the dataset (default: data/own)')
    parser.add_argument('--ignore-unknown', action='store_true',
                        help='give colours that are not in the table no class')
    _add_workers(parser)


def _add_coco_object(commands: Commands, parent: argparse.ArgumentParser) -> None:
    parser = _add_converter(commands, parent, 'coco_object', 'COCO-Object, from '
                            'COCO-Stuff', COCO_OBJECT, _coco_object)
    parser.add_argument('root', type=Path, help='such as data/coco_stuff164k')


def _add_cityscapes(commands: Commands, parent: argparse.ArgumentParser) -> None:
    parser = _add_converter(commands, parent, 'cityscapes', 'Cityscapes, val',
                            CITYSCAPES, _cityscapes)
    parser.add_argument('root', type=Path, help='such as data/cityscapes')


def _check(args: argparse.Namespace) -> int:
    own = [name for name in args.names if name not in LABEL_SETS
           and (Path(name).is_dir() or name.endswith('.py'))]
    unknown = {*args.names, *args.data_root} - {*LABEL_SETS, *own}
    if unknown:
        args.refuse(f'no dataset named {", ".join(sorted(unknown))}; choose from '
                    f'{", ".join(LABEL_SETS)}, or give a folder or a config')
    if args.cfg_options and not own:
        args.refuse('--cfg-options belongs to a folder or a config')
    status, all_reports = 0, []
    for name in args.names or LABEL_SETS:
        reports, steps = _check_one(name, name in own, args)
        status |= _tell_reports(reports)
        for step in steps:
            say(f'  NEXT: {step}')
        all_reports += reports
    _write_histogram(all_reports, args.histogram)
    return status


def _check_one(name: str, own: bool, args: argparse.Namespace
               ) -> tuple[list['Report'], list[str]]:
    """Reports on a dataset, and what to do next."""
    from ..preparation import check_config, check_dataset
    if not own:
        return check_dataset(name, args.data_root.get(name), args.labels, args.workers)
    path, options = Path(name), dict(args.cfg_options)
    if path.is_dir():
        from ..shipped import config_path
        path = config_path('_base_/datasets/own_dataset')
        options.setdefault('data_root', name)
    return check_config(load_config(path, options, model=False), args.labels,
                        args.workers), []


def _tell_check(name: str, root: Path, args: argparse.Namespace) -> int:
    """``--check`` of a converter whose labels lie where the dataset's config says."""
    from ..preparation import check_dataset
    reports, _ = check_dataset(name, root, read_labels=True, workers=args.workers)
    return _tell_reports(reports, args.histogram)


def _coco_stuff(args: argparse.Namespace) -> int:
    from ..preparation import coco_stuff
    if not args.check:
        return _tell_conversions(
            coco_stuff.convert(args.root, args.out, args.splits, args.workers))
    return _tell_reports(
        coco_stuff.check(args.root, args.out, args.splits, args.workers),
        args.histogram)


def _ade20k_847(args: argparse.Namespace) -> int:
    from ..preparation import ade20k_847
    if not args.check:
        return _tell_conversions(ade20k_847.convert(args.raw, args.out, args.workers))
    return _tell_check('ade20k_847', args.out, args)


def _pascal_context(args: argparse.Namespace) -> int:
    from ..preparation import pascal_context
    if not args.check:
        return _tell_conversions(
            pascal_context.convert(args.root, args.mats, args.workers))
    return _tell_reports(pascal_context.check(args.root, args.workers), args.histogram)


def _color_masks(args: argparse.Namespace) -> int:
    from ..preparation import color_masks
    return _tell_conversions(
        color_masks.convert(args.masks, args.colors, args.out, args.ignore_unknown,
                            args.workers), f'dcpclip data check {args.out}')


def _coco_object(args: argparse.Namespace) -> int:
    from ..preparation import coco_object
    if not args.check:
        return _tell_conversions(coco_object.convert(args.root, args.workers))
    return _tell_check('coco_object_81', args.root, args)


def _cityscapes(args: argparse.Namespace) -> int:
    from ..preparation import cityscapes
    if not args.check:
        return _tell_conversions(cityscapes.convert(args.root, args.workers))
    return _tell_check('cityscapes_19', args.root, args)


def _speed(args: argparse.Namespace) -> int:
    from ..preparation import measure_speed
    for name, rate in measure_speed(args.images, args.workers).items():
        say(f'{name}: {rate:.0f} images per second')
    return 0


def _tell_reports(reports: Sequence['Report'], histogram: Path | None = None) -> int:
    """Print what checks found; the exit status is 1 if there is any problem."""
    for report in reports:
        say(*report.lines())
    _write_histogram(reports, histogram)
    return int(any(report.problems for report in reports))


def _tell_conversions(conversions: Sequence['Conversion'],
                      check: str = 'again with --check') -> int:
    """Print what was converted; the exit status is 1 if a file could not be."""
    for part in conversions:
        if part.done_before:
            say(f'{part.title}: {part.done_before} of {part.jobs} are done already')
    problems = [problem for part in conversions for problem in part.problems]
    jobs = sum(part.jobs for part in conversions)
    for problem in problems[:20]:
        say(f'PROBLEM: {problem}')
    say(f'{jobs - len(problems)} of {jobs} converted, {len(problems)} could not be; '
        f'run {check} to count classes and pixels')
    return int(bool(problems))


def _write_histogram(reports: Sequence['Report'], path: Path | None) -> None:
    """Write the pixels of each class if a file was named."""
    if path is not None:
        from ..preparation import write_histogram
        write_histogram(reports, path)
        say(f'pixels of each class: {path}')


def _draw(args: argparse.Namespace) -> int:
    """Draw some pictures."""
    import shlex

    from ..files import check_file, check_folder
    check_folder(args.out)
    if args.sheet is not None:
        check_file(args.sheet)
    from ..miniworld.demo import draw_examples, draw_overview, write_png
    say(*(f'dcpclip segment {shlex.quote(str(drawn.path))} --words '
          f'{shlex.quote("; ".join(drawn.words))}'
          for drawn in draw_examples(args.out, args.pictures, scenes=args.scenes)))
    if args.sheet is not None:
        args.sheet.parent.mkdir(parents=True, exist_ok=True)
        write_png(args.sheet, draw_overview(args.pictures, scenes=args.scenes))
    return 0
