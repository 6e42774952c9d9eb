"""Measure label conversion against a bare decode and encode loop.

    python tools/dataset_converters/measure_speed.py --images 300 --workers 1

Labels of 480 x 640 pixels with smooth regions are drawn into a temporary folder and
converted as those of COCO-Stuff are; the bare loop only decodes them and encodes
them again.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from mmseg_dcpclip.data import read_label_set
from mmseg_dcpclip.datasets.conversion import (
    Job,
    convert_all,
    convert_png,
    remap_table,
)


def draw_label(rng: np.random.Generator, source_ids: list[int]) -> np.ndarray:
    """Regions of twelve classes with smooth borders: uint8, shape (480, 640)."""
    heights = gaussian_filter(rng.random((12, 60, 80)), (0, 5, 5))
    regions = heights.repeat(8, 1).repeat(8, 2).argmax(0)
    return rng.choice(source_ids, 12, replace=False)[regions].astype(np.uint8)


def bare_loop(jobs: list[Job]) -> None:
    for job in jobs:
        label = np.array(Image.open(job.source))
        Image.fromarray(label).save(job.targets[0], compress_level=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=300)
    parser.add_argument(
        '--workers', type=int, help='number of processes (default: one per core)')
    args = parser.parse_args()
    source_ids = read_label_set('coco_stuff_171')['source_ids']
    table = remap_table(source_ids, 256, 255)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        sources = [Path(folder) / f'{i}.png' for i in range(args.images)]
        for source in sources:
            Image.fromarray(draw_label(rng, source_ids)).save(source)
        rates = {}
        for name, convert in (
            ('bare loop, one process', bare_loop),
            ('converter', partial(
                convert_all, partial(convert_png, table=table), workers=args.workers)),
        ):
            target = Path(folder) / name
            target.mkdir()
            jobs = [Job(source, (target / source.name, )) for source in sources]
            start = time.perf_counter()
            convert(jobs)
            rates[name] = args.images / (time.perf_counter() - start)
    for name, rate in rates.items():
        print(f'{name}: {rate:.0f} images per second')


if __name__ == '__main__':
    main()
