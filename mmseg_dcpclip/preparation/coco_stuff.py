"""The labels of COCO-Stuff 164k: train ids 0..170 and 255, as mmseg lays them out.

``dcpclip data convert coco_stuff --help`` shows the folders.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..datasets import COCOStuff171Dataset
from ..vocabulary import read_label_set
from .checking import PUBLISHED, Report, check_split
from .conversion import Conversion, FileJob, convert_all, convert_png, remap_table

SUFFIX = '_labelTrainIds.png'
CONVERTED = 'TrainIds.png'  # the common end of what converters write there
SPLITS = ('train', 'val')
# Where the raw label folders are found below the root.
RAW_FOLDERS = ('stuffthingmaps_trainval2017', 'stuffthingmaps', 'annotations', '.')


def make_jobs(root: Path, out: Path, split: str, suffix: str = SUFFIX
              ) -> list[FileJob]:
    """List the raw labels of a split and what they become.

    Args:
        root: Folder of the dataset.
        out: Folder of the new labels.
        split: 'train' or 'val'.
        suffix: Ending of the new labels.

    Returns:
        list[FileJob]: One job per raw label.

    Raises:
        FileNotFoundError: No raw label is found below ``root``.
    """
    for name in RAW_FOLDERS:
        sources = sorted((root / name / f'{split}2017').glob('*.png'))
        sources = [path for path in sources if not path.name.endswith(CONVERTED)]
        if sources:
            return [
                FileJob(path, (out / f'{split}2017' / f'{path.stem}{suffix}', ))
                for path in sources
            ]
    raise FileNotFoundError(
        f'no raw {split}2017/*.png under {root} (looked in '
        f'{", ".join(RAW_FOLDERS)}); unpack stuffthingmaps_trainval2017.zip there')


def convert(root: Path, out: Path | None = None, splits: Sequence[str] = SPLITS,
            workers: int | None = None) -> list[Conversion]:
    """Convert the labels.

    Args:
        root: Folder of the dataset.
        out: Folder of the new labels. None: ``annotations`` in ``root``.
        splits: Of 'train' and 'val'.
        workers: Number of processes. None: one per core.

    Returns:
        list[Conversion]: One per split.

    Raises:
        FileNotFoundError: A split has no raw labels; nothing is converted then.
    """
    table = remap_table(read_label_set('coco_stuff_171')['source_ids'], 256, 255)
    jobs = {split: make_jobs(root, _labels(root, out), split) for split in splits}
    return [
        convert_all(partial(convert_png, table=table), jobs[split], workers,
                    f'coco_stuff_171 {split}') for split in splits
    ]


def check(root: Path, out: Path | None = None, splits: Sequence[str] = SPLITS,
          workers: int | None = None) -> list[Report]:
    """Check what was written.

    Args:
        root: Folder of the dataset.
        out: Folder of the new labels. None: ``annotations`` in ``root``.
        splits: Of 'train' and 'val'.
        workers: Number of processes. None: one per core.

    Returns:
        list[Report]: One per split.
    """
    reports = []
    for split in splits:
        build = partial(
            COCOStuff171Dataset,
            data_root=str(root),
            data_prefix=dict(
                img_path=f'images/{split}2017',
                seg_map_path=str(_labels(root, out).resolve() / f'{split}2017')),
            skip_unlabelled=True)
        reports.append(
            check_split(f'coco_stuff_171 {split}', build,
                        PUBLISHED['coco_stuff_171', split], workers=workers))
    return reports


def _labels(root: Path, out: Path | None) -> Path:
    """Where the new labels are if no place was given."""
    return root / 'annotations' if out is None else out
