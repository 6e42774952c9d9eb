"""The labels of COCO-Object from COCO-Stuff's maps: 0 for background, things 1..80.

``dcpclip data convert coco_object --help`` shows the folders.
"""

from functools import partial
from pathlib import Path

from ..vocabulary import read_label_set
from .coco_stuff import make_jobs
from .conversion import Conversion, convert_all, convert_png, remap_table

SUFFIX = '_instanceTrainIds.png'


def convert(root: Path, workers: int | None = None) -> list[Conversion]:
    """Convert the labels of the val split.

    Args:
        root: Folder of COCO-Stuff.
        workers: Number of processes. None: one per core.

    Returns:
        list[Conversion]: The one of val.

    Raises:
        FileNotFoundError: There are no raw labels.
    """
    # stuff, unused values and unlabelled pixels are background
    table = remap_table(read_label_set('coco_object_81')['source_ids'], 256, 0)
    jobs = make_jobs(root, root / 'annotations', 'val', SUFFIX)
    return [convert_all(partial(convert_png, table=table), jobs, workers,
                        'coco_object_81 val')]
