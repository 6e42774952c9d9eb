"""Tell for every dataset what is there, what is missing and what to run next.

    python tools/check_data.py                    # files and sizes of the splits
    python tools/check_data.py --labels           # also decode and count every label
    python tools/check_data.py ade20k_847 --data-root ade20k_847=/data/ade20k_847

Nothing is written and nothing is downloaded.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config, DictAction
from mmseg.registry import DATASETS

from mmseg_dcpclip.datasets.checking import (
    PUBLISHED,
    Report,
    add_common_arguments,
    check_split,
    finish,
    write_histogram,
)

BASE_FOLDER = Path(__file__).resolve().parents[1] / 'configs/_base_/datasets'


class Preparation(NamedTuple):
    """How to get a dataset; {root} stands for its data root.

    Attributes:
        download (str): What to get and where to unpack it.
        command (str, optional): What to run then.
        raw (tuple[str]): Folders below the root that show that it is unpacked.
    """

    download: str
    command: str | None = None
    raw: tuple[str, ...] = ()


_PASCAL_CONTEXT = Preparation(
    'VOC2010 as {root}, and the 459-class .mat files of Pascal Context into '
    '{root}/trainval',
    'python tools/dataset_converters/pascal_context.py {root}',
    ('JPEGImages', 'trainval'))
PREPARATIONS = dict(
    coco_stuff_171=Preparation(
        'train2017.zip and val2017.zip of COCO into {root}/images, and '
        'stuffthingmaps_trainval2017.zip into {root}/stuffthingmaps_trainval2017',
        'python tools/dataset_converters/coco_stuff.py {root}',
        ('images/train2017', 'images/val2017', 'stuffthingmaps_trainval2017')),
    ade20k_150=Preparation('ADEChallengeData2016.zip, unpacked as {root}'),
    ade20k_847=Preparation(
        'the full ADE20K (ADE20K_2021_17_01), unpacked anywhere',
        'python tools/dataset_converters/ade20k_847.py ADE20K_2021_17_01 --out {root}'),
    pascal_context_59=_PASCAL_CONTEXT,
    pascal_context_459=_PASCAL_CONTEXT,
    pascal_voc_20=Preparation(
        'VOC2012 as {root} and SegmentationClassAug into it (for val, the '
        'SegmentationClass of VOC2012 serves as well)'))


def next_steps(name: str, root: str) -> list[str]:
    """Lines that tell what to do for a dataset that is not complete."""
    download, command, raw = PREPARATIONS[name]
    unpacked = raw and all((Path(root) / folder).is_dir() for folder in raw)
    steps = [] if unpacked else [f'get {download}']
    if command:
        steps.append(f'run {command}')
    return [f'  NEXT: {step}'.format(root=root) for step in steps]


def check(name: str, data_root: str | None, read_labels: bool,
          workers: int | None) -> tuple[list[Report], list[str]]:
    """Check all splits of one dataset config.

    Args:
        name (str): Name of the dataset config.
        data_root (str, optional): Replaces the one in the config.
        read_labels (bool): Decode every label.
        workers (int, optional): Number of processes for that.

    Returns:
        tuple[list[Report], list[str]]: One report per split, and what to do next.
    """
    config = Config.fromfile(BASE_FOLDER / f'{name}.py')
    root = data_root or config.data_root
    reports = []
    for split in ('train', 'val'):
        if f'{split}_dataloader' in config:
            settings = config[f'{split}_dataloader'].dataset
            settings.update(data_root=root, pipeline=[], skip_unlabelled=True)
            reports.append(
                check_split(f'{name} {split}', partial(DATASETS.build, settings),
                            PUBLISHED[name, split], read_labels, workers))
    incomplete = any(report.problems for report in reports)
    return reports, next_steps(name, root) if incomplete else []


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ', '.join(PREPARATIONS)
    parser.add_argument('names', nargs='*', metavar='NAME', help=f'of {known}')
    parser.add_argument(
        '--data-root', nargs='+', action=DictAction, default={}, metavar='NAME=FOLDER',
        help='where a dataset lies, if not where its config says')
    parser.add_argument(
        '--labels', action='store_true', help='decode and count every label')
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    unknown = {*args.names, *args.data_root} - set(PREPARATIONS)
    if unknown:
        parser.error(f'no dataset named {", ".join(sorted(unknown))}; choose from '
                     f'{known}')
    status, all_reports = 0, []
    for name in args.names or PREPARATIONS:
        reports, steps = check(
            name, args.data_root.get(name), args.labels, args.workers)
        status |= finish(reports)
        for step in steps:
            print(step)
        all_reports += reports
    if args.histogram:
        write_histogram(all_reports, args.histogram)
    return status


if __name__ == '__main__':
    sys.exit(main())
