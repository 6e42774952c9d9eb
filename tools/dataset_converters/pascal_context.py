"""Prepare Pascal Context with 59 and with 459 classes from the .mat maps.

Raw data: VOC2010/JPEGImages/*.jpg and the trainval/*.mat files of the 459-class
download, in VOC2010/trainval or in the folder given by --mats.

Written, for the 5104 val images: VOC2010/annotations_pc59/*.png (ids 0..58 and
255), VOC2010/annotations_pc459/*.png (16-bit, ids 0..458 and 65535) and
VOC2010/ImageSets/PascalContext/val.txt.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from mmseg_dcpclip.data import pascal_context_val_ids, read_label_set
from mmseg_dcpclip.datasets import PascalContext59Dataset, PascalContext459Dataset
from mmseg_dcpclip.datasets.checking import (
    PUBLISHED,
    add_common_arguments,
    check_split,
    finish,
)
from mmseg_dcpclip.datasets.conversion import (
    Job,
    convert_all,
    convert_mat,
    remap_table,
    summarize_run,
)
from mmseg_dcpclip.datasets.labels import WIDE_IGNORE, write_atomic

# Dataset, folder, ignore index and whether the PNGs have 16 bits.
SETS = {
    'pascal_context_59': (PascalContext59Dataset, 'annotations_pc59', 255, False),
    'pascal_context_459': (PascalContext459Dataset, 'annotations_pc459', WIDE_IGNORE,
                           True),
}
SPLIT_FILE = 'ImageSets/PascalContext/val.txt'


def make_jobs(mats: Path, root: Path) -> list[Job]:
    """List the val ids whose .mat is there and what they become.

    Raises:
        FileNotFoundError: If no .mat of a val image is found.
    """
    there = {path.stem for path in mats.glob('*.mat')}
    ids = [image_id for image_id in pascal_context_val_ids() if image_id in there]
    if not ids:
        raise FileNotFoundError(
            f'no .mat of a val image in {mats}; unpack the 459-class download of '
            'Pascal Context, and give its folder trainval by --mats')
    folders = [root / folder for _, folder, _, _ in SETS.values()]
    return [
        Job(mats / f'{image_id}.mat',
            tuple(folder / f'{image_id}.png' for folder in folders))
        for image_id in ids
    ]


def convert(root: Path, mats: Path, workers: int | None) -> int:
    """Convert both sets; returns the exit status."""
    tables = [(remap_table(read_label_set(name)['source_ids'], 460, ignore), wide)
              for name, (_, _, ignore, wide) in SETS.items()]
    jobs = make_jobs(mats, root)
    problems = convert_all(
        partial(convert_mat, tables=tables), jobs, workers, 'pascal_context val')
    split_file = root / SPLIT_FILE
    split_file.parent.mkdir(parents=True, exist_ok=True)
    lines = ''.join(f'{job.source.stem}\n' for job in jobs)
    write_atomic(split_file, lines.encode('ascii'))
    return summarize_run(problems, len(jobs))


def check(root: Path, workers: int | None, histogram: str | None) -> int:
    """Check what was written; returns the exit status."""
    reports = []
    for name, (dataset, folder, _, _) in SETS.items():
        build = partial(
            dataset,
            data_root=str(root),
            ann_file=SPLIT_FILE,
            img_suffix='.jpg',
            data_prefix=dict(img_path='JPEGImages', seg_map_path=folder),
            skip_unlabelled=True)
        report = check_split(
            f'{name} val', build, PUBLISHED[name, 'val'], workers=workers)
        # Classes known to have no pixel in val show that another split was used.
        absent = read_label_set(name)['absent_from_val']
        if report.pixels is not None and report.pixels[absent].any():
            report.problems.append(
                'classes that have no pixel in the published val split have some '
                'here; remove the written labels and convert again')
        reports.append(report)
    return finish(reports, histogram)


def main(argv: list[str] | None = None) -> int | str:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='such as data/VOCdevkit/VOC2010')
    parser.add_argument(
        '--mats', type=Path, help='folder of the .mat files (default: <root>/trainval)')
    parser.add_argument(
        '--check', action='store_true', help='check what was written instead')
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    try:
        if args.check:
            return check(args.root, args.workers, args.histogram)
        return convert(args.root, args.mats or args.root / 'trainval', args.workers)
    except FileNotFoundError as error:
        return f'{parser.prog}: {error}'


if __name__ == '__main__':
    sys.exit(main())
