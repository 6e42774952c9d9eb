"""The labels of COCO-Object from COCO-Stuff's maps: 0 for background, things 1..80.

``dcpclip data convert coco_object --help`` shows the folders.
"""

from functools import partial
from pathlib import Path

from ..datasets import COCOObject81Dataset
from ..vocabulary import read_label_set
from .checking import PUBLISHED, Report, check_split
from .coco_stuff import make_jobs
from .conversion import Conversion, convert_all, convert_png, remap_table

SUFFIX = '_instanceTrainIds.png'
IMAGES, LABELS = 'images/val2017', 'annotations/val2017'


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


def check(root: Path, workers: int | None = None) -> list[Report]:
    """Check what was written.

    Args:
        root: Folder of COCO-Stuff.
        workers: Number of processes. None: one per core.

    Returns:
        list[Report]: The one of val.
    """
    build = partial(
        COCOObject81Dataset, data_root=str(root), skip_unlabelled=True,
        data_prefix=dict(img_path=IMAGES, seg_map_path=LABELS))
    return [check_split('coco_object_81 val', build, PUBLISHED['coco_object_81', 'val'],
                        workers=workers)]
