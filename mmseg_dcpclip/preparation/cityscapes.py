"""The labels of Cityscapes: train ids 0..18 and 255, as mmseg lays them out.

``dcpclip data convert cityscapes --help`` shows the folders.
"""

from functools import partial
from pathlib import Path

from ..vocabulary import read_label_set
from .conversion import Conversion, FileJob, convert_all, convert_png, remap_table

NUM_VALUES = 34  # ids 0..33; -1, the licence plate, is never drawn
LABELS = 'gtFine/val'
RAW, SUFFIX = '_gtFine_labelIds.png', '_gtFine_labelTrainIds.png'


def make_jobs(root: Path) -> list[FileJob]:
    """List the raw labels of val and what they become, beside them.

    Args:
        root: Folder of the dataset.

    Returns:
        list[FileJob]: One job per raw label.

    Raises:
        FileNotFoundError: No raw label is found below ``root``.
    """
    sources = sorted((root / LABELS).glob(f'*/*{RAW}'))
    if not sources:
        raise FileNotFoundError(f'no */*{RAW} in {root / LABELS}; unpack '
                                f'gtFine_trainvaltest.zip in {root}')
    return [
        FileJob(path, (path.with_name(path.name.removesuffix(RAW) + SUFFIX), ))
        for path in sources
    ]


def convert(root: Path, workers: int | None = None) -> list[Conversion]:
    """Convert the labels of the val split.

    Args:
        root: Folder of the dataset.
        workers: Number of processes. None: one per core.

    Returns:
        list[Conversion]: The one of val.

    Raises:
        FileNotFoundError: There are no raw labels.
    """
    table = remap_table(read_label_set('cityscapes_19')['source_ids'], NUM_VALUES, 255)
    return [convert_all(partial(convert_png, table=table), make_jobs(root), workers,
                        'cityscapes_19 val')]
