"""Prepare the labels of COCO-Stuff 164k.

Raw data, unpacked under one root folder:

    <root>/images/train2017/*.jpg, <root>/images/val2017/*.jpg
    <root>/stuffthingmaps_trainval2017/train2017/*.png, .../val2017/*.png

Written: <root>/annotations/{train2017,val2017}/*_labelTrainIds.png with the ids
0..170 and 255, as mmseg lays them out.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from mmseg_dcpclip.data import read_label_set
from mmseg_dcpclip.datasets import COCOStuff171Dataset
from mmseg_dcpclip.datasets.checking import (
    PUBLISHED,
    add_common_arguments,
    check_split,
    finish,
)
from mmseg_dcpclip.datasets.conversion import (
    Job,
    convert_all,
    convert_png,
    remap_table,
    summarize_run,
)

SUFFIX = '_labelTrainIds.png'
# Where the raw label folders are found below the root.
RAW_FOLDERS = ('stuffthingmaps_trainval2017', 'stuffthingmaps', 'annotations', '.')


def make_jobs(root: Path, out: Path, split: str) -> list[Job]:
    """List the raw labels of 'train' or 'val' and what they become.

    Raises:
        FileNotFoundError: If no raw label is found below ``root``.
    """
    for name in RAW_FOLDERS:
        sources = sorted((root / name / f'{split}2017').glob('*.png'))
        sources = [path for path in sources if not path.name.endswith(SUFFIX)]
        if sources:
            return [
                Job(path, (out / f'{split}2017' / f'{path.stem}{SUFFIX}', ))
                for path in sources
            ]
    raise FileNotFoundError(
        f'no raw {split}2017/*.png under {root} (looked in '
        f'{", ".join(RAW_FOLDERS)}); unpack stuffthingmaps_trainval2017.zip there')


def convert(root: Path, out: Path, splits: list[str], workers: int | None) -> int:
    """Convert the splits; returns the exit status."""
    table = remap_table(read_label_set('coco_stuff_171')['source_ids'], 256, 255)
    jobs = {split: make_jobs(root, out, split) for split in splits}
    problems = []
    for split in splits:
        problems += convert_all(
            partial(convert_png, table=table), jobs[split], workers,
            f'coco_stuff_171 {split}')
    return summarize_run(problems, sum(map(len, jobs.values())))


def check(root: Path, out: Path, splits: list[str], workers: int | None,
          histogram: str | None) -> int:
    """Check what was written; returns the exit status."""
    reports = []
    for split in splits:
        build = partial(
            COCOStuff171Dataset,
            data_root=str(root),
            data_prefix=dict(
                img_path=f'images/{split}2017',
                seg_map_path=str(out.resolve() / f'{split}2017')),
            skip_unlabelled=True)
        reports.append(
            check_split(f'coco_stuff_171 {split}', build,
                        PUBLISHED['coco_stuff_171', split], workers=workers))
    return finish(reports, histogram)


def main(argv: list[str] | None = None) -> int | str:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='such as data/coco_stuff164k')
    parser.add_argument(
        '--out', type=Path, help='label folder (default: <root>/annotations)')
    parser.add_argument(
        '--splits', nargs='+', choices=['train', 'val'], default=['train', 'val'])
    parser.add_argument(
        '--check', action='store_true', help='check what was written instead')
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    out = args.out or args.root / 'annotations'
    try:
        if args.check:
            return check(args.root, out, args.splits, args.workers, args.histogram)
        return convert(args.root, out, args.splits, args.workers)
    except FileNotFoundError as error:
        return f'{parser.prog}: {error}'


if __name__ == '__main__':
    sys.exit(main())
