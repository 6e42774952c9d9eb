"""Pascal Context with 59, 60 and 459 classes, all from the .mat maps of the latter.

``dcpclip data convert pascal_context --help`` shows the folders.
"""

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmseg.datasets import BaseSegDataset
from scipy.io import loadmat

from ..datasets import (
    PascalContext59Dataset,
    PascalContext60Dataset,
    PascalContext459Dataset,
)
from ..datasets.labels import WIDE_IGNORE, write_label
from ..files import write_atomic
from ..vocabulary import pascal_context_val_ids, read_label_set
from .checking import PUBLISHED, Report, check_split
from .conversion import Conversion, FileJob, convert_all, remap, remap_table

NUM_VALUES = 460
SPLIT_FILE = 'ImageSets/PascalContext/val.txt'


class LabelForm(NamedTuple):
    """How the labels of a set are stored.

    Attributes:
        dataset: The dataset class.
        folder: Their folder below the root.
        others: Value of pixels that are none of the classes.
        wide: Whether the PNGs have 16 bits.
    """

    dataset: Callable[..., BaseSegDataset]
    folder: str
    others: int
    wide: bool


SETS = dict(
    pascal_context_59=LabelForm(PascalContext59Dataset, 'annotations_pc59', 255, False),
    # whatever is none of the 59 is background
    pascal_context_60=LabelForm(PascalContext60Dataset, 'annotations_pc60', 0, False),
    pascal_context_459=LabelForm(PascalContext459Dataset, 'annotations_pc459',
                                 WIDE_IGNORE, True))


def read_label_map(path: Path) -> np.ndarray:
    """Read the ``LabelMap`` of a .mat.

    Args:
        path: The .mat file.

    Returns:
        np.ndarray: int32 [H, W].

    Raises:
        ValueError: It cannot be read or holds no ``LabelMap``.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        # scipy reads open files as well, which its types do not say.
        maps = loadmat(content, variable_names=['LabelMap'])  # type: ignore[arg-type]
    except Exception as error:  # scipy raises many kinds on broken files
        raise ValueError(f'cannot read {path} ({error}); copy or unpack it '
                         'again') from error
    if 'LabelMap' not in maps:
        raise ValueError(f"{path} holds no 'LabelMap'; is this the 459-class "
                         'download of Pascal Context?')
    return maps['LabelMap'].astype(np.int32)


def convert_mat(job: FileJob, tables: Sequence[tuple[np.ndarray, bool]]) -> None:
    """Remap one LabelMap into several PNGs.

    Args:
        job: The .mat and one PNG per table.
        tables: Tables of ``remap_table``, and whether their PNGs have 16 bits.

    Raises:
        ValueError: The .mat cannot be read or holds a value too high.
    """
    raw = read_label_map(job.source)
    for target, (table, wide) in zip(job.targets, tables, strict=True):
        write_label(target, remap(raw, table, job.source), wide)


def make_jobs(mats: Path, root: Path) -> list[FileJob]:
    """List the val ids whose .mat is there and what they become.

    Args:
        mats: Folder of the .mat files.
        root: The folder VOC2010.

    Returns:
        list[FileJob]: One job per id.

    Raises:
        FileNotFoundError: No .mat of a val image is found.
    """
    there = {path.stem for path in mats.glob('*.mat')}
    ids = [image_id for image_id in pascal_context_val_ids() if image_id in there]
    if not ids:
        raise FileNotFoundError(
            f'no .mat of a val image in {mats}; unpack the 459-class download of '
            'Pascal Context, and give its folder trainval by --mats')
    folders = [root / form.folder for form in SETS.values()]
    return [
        FileJob(mats / f'{image_id}.mat',
            tuple(folder / f'{image_id}.png' for folder in folders))
        for image_id in ids
    ]


def convert(root: Path, mats: Path | None = None,
            workers: int | None = None) -> list[Conversion]:
    """Convert all sets and write the list of val images.

    Args:
        root: The folder VOC2010.
        mats: Folder of the .mat files. None: ``trainval`` in ``root``.
        workers: Number of processes. None: one per core.

    Returns:
        list[Conversion]: The one of val.

    Raises:
        FileNotFoundError: No .mat of a val image is found.
    """
    tables = [(remap_table(read_label_set(name)['source_ids'], NUM_VALUES,
                           form.others), form.wide)
              for name, form in SETS.items()]
    jobs = make_jobs(root / 'trainval' if mats is None else mats, root)
    conversion = convert_all(
        partial(convert_mat, tables=tables), jobs, workers, 'pascal_context val')
    split_file = root / SPLIT_FILE
    split_file.parent.mkdir(parents=True, exist_ok=True)
    lines = ''.join(f'{job.source.stem}\n' for job in jobs)
    write_atomic(split_file, lines.encode('ascii'))
    return [conversion]


def check(root: Path, workers: int | None = None) -> list[Report]:
    """Check what was written.

    Args:
        root: The folder VOC2010.
        workers: Number of processes. None: one per core.

    Returns:
        list[Report]: One per set.
    """
    reports = []
    for name, form in SETS.items():
        build = partial(
            form.dataset,
            data_root=str(root),
            ann_file=SPLIT_FILE,
            img_suffix='.jpg',
            data_prefix=dict(img_path='JPEGImages', seg_map_path=form.folder),
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
    return reports
