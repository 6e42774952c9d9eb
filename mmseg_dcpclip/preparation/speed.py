"""Label conversion against a bare decode and encode loop."""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from ..vocabulary import read_label_set
from .conversion import FileJob, convert_all, convert_png, remap_table


def draw_label(rng: np.random.Generator, source_ids: Sequence[int]) -> np.ndarray:
    """Draw regions of twelve classes with smooth borders.

    Args:
        rng: Decides on the picture.
        source_ids: Values to choose from.

    Returns:
        np.ndarray: uint8 [480, 640].
    """
    heights = gaussian_filter(rng.random((12, 60, 80)), (0, 5, 5))
    regions = heights.repeat(8, 1).repeat(8, 2).argmax(0)
    return rng.choice(source_ids, 12, replace=False)[regions].astype(np.uint8)


def measure_speed(images: int = 300, workers: int | None = None) -> dict[str, float]:
    """Convert drawn labels as those of COCO-Stuff are, in a temporary folder.

    Args:
        images: Number of labels of 480 x 640 pixels.
        workers: Number of processes of the converter. None: one per core.

    Returns:
        dict[str, float]: Images per second of the bare loop and of the converter.
    """
    source_ids = read_label_set('coco_stuff_171')['source_ids']
    convert = partial(convert_png, table=remap_table(source_ids, 256, 255))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        sources = [Path(folder) / f'{i}.png' for i in range(images)]
        for source in sources:
            Image.fromarray(draw_label(rng, source_ids)).save(source)
        bare = _seconds(_bare_loop, sources, Path(folder) / 'bare')
        converted = _seconds(lambda jobs: convert_all(convert, jobs, workers), sources,
                             Path(folder) / 'converted')
    return {'bare loop, one process': images / bare, 'converter': images / converted}


def _bare_loop(jobs: Sequence[FileJob]) -> None:
    """Decode the labels and encode them again, without looking at them."""
    for job in jobs:
        label = np.array(Image.open(job.source))
        Image.fromarray(label).save(job.targets[0], compress_level=1)


def _seconds(run: Callable[[Sequence[FileJob]], object], sources: Sequence[Path],
             target: Path) -> float:
    """Seconds that a run of all sources into a new folder takes."""
    target.mkdir()
    jobs = [FileJob(source, (target / source.name, )) for source in sources]
    start = time.perf_counter()
    run(jobs)
    return time.perf_counter() - start
