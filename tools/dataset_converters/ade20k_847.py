"""Prepare ADE20K-847 from the full ADE20K download.

Raw data: ADE20K_2021_17_01/images/ADE/validation/**/ADE_val_*.jpg and *_seg.png.

Written: <out>/images/validation/*.jpg and <out>/annotations/validation/*.png,
16-bit with the ids 0..846 and 65535. Pictures whose short side is over 512 are
reduced to it with their labels, and are scored at that size.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from mmseg_dcpclip.data import read_label_set
from mmseg_dcpclip.datasets import ADE20K847Dataset
from mmseg_dcpclip.datasets.checking import (
    PUBLISHED,
    add_common_arguments,
    check_split,
    finish,
)
from mmseg_dcpclip.datasets.conversion import (
    Job,
    convert_ade20k,
    convert_all,
    remap_table,
    summarize_run,
)
from mmseg_dcpclip.datasets.labels import WIDE_IGNORE

RAW_FOLDER = 'images/ADE/validation'
IMAGES, LABELS = 'images/validation', 'annotations/validation'
# R // 10 is at most 25, G at most 255.
NUM_VALUES = 26 * 256


def make_jobs(raw: Path, out: Path) -> list[Job]:
    """List the raw pictures and what they become.

    Raises:
        FileNotFoundError: If no picture is found below ``raw``.
    """
    sources = sorted((raw / RAW_FOLDER).rglob('*.jpg'))
    if not sources:
        raise FileNotFoundError(
            f'no *.jpg under {raw / RAW_FOLDER}; give the folder '
            'ADE20K_2021_17_01 of the full ADE20K download')
    return [
        Job(path, (out / IMAGES / path.name, out / LABELS / f'{path.stem}.png'))
        for path in sources
    ]


def convert(raw: Path, out: Path, workers: int | None) -> int:
    """Convert the val split; returns the exit status."""
    source_ids = read_label_set('ade20k_847')['source_ids']
    table = remap_table(source_ids, NUM_VALUES, WIDE_IGNORE)
    jobs = make_jobs(raw, out)
    problems = convert_all(
        partial(convert_ade20k, table=table), jobs, workers, 'ade20k_847 val')
    return summarize_run(problems, len(jobs))


def check(out: Path, workers: int | None, histogram: str | None) -> int:
    """Check what was written; returns the exit status."""
    build = partial(
        ADE20K847Dataset,
        data_root=str(out),
        data_prefix=dict(img_path=IMAGES, seg_map_path=LABELS),
        skip_unlabelled=True)
    report = check_split(
        'ade20k_847 val', build, PUBLISHED['ade20k_847', 'val'], workers=workers)
    return finish([report], histogram)


def main(argv: list[str] | None = None) -> int | str:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('raw', type=Path, help='the folder ADE20K_2021_17_01')
    parser.add_argument('--out', type=Path, default=Path('data/ade20k_847'))
    parser.add_argument(
        '--check', action='store_true', help='check what was written instead')
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    try:
        if args.check:
            return check(args.out, args.workers, args.histogram)
        return convert(args.raw, args.out, args.workers)
    except FileNotFoundError as error:
        return f'{parser.prog}: {error}'


if __name__ == '__main__':
    sys.exit(main())
