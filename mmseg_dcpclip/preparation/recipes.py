"""What each benchmark is made from, and what is left to do for it."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmseg.registry import DATASETS

from ..shipped import config_path
from .checking import PUBLISHED, Report, check_split


class Preparation(NamedTuple):
    """How to get a dataset; {root} stands for its data root.

    Attributes:
        download: What to get and where to unpack it.
        command: What to run then, if anything.
        raw: Folders below the root that show that it is unpacked.
    """

    download: str
    command: str | None = None
    raw: tuple[str, ...] = ()


_PASCAL_CONTEXT = Preparation(
    'VOC2010 as {root}, and the 459-class .mat files of Pascal Context into '
    '{root}/trainval',
    'dcpclip data convert pascal_context {root}',
    ('JPEGImages', 'trainval'))
# In the order of ``LABEL_SETS``.
PREPARATIONS = dict(
    coco_stuff_171=Preparation(
        'train2017.zip and val2017.zip of COCO into {root}/images, and '
        'stuffthingmaps_trainval2017.zip into {root}/stuffthingmaps_trainval2017',
        'dcpclip data convert coco_stuff {root}',
        ('images/train2017', 'images/val2017', 'stuffthingmaps_trainval2017')),
    ade20k_150=Preparation('ADEChallengeData2016.zip, unpacked as {root}'),
    ade20k_847=Preparation(
        'the full ADE20K (ADE20K_2021_17_01), unpacked anywhere',
        'dcpclip data convert ade20k_847 ADE20K_2021_17_01 --out {root}'),
    pascal_context_59=_PASCAL_CONTEXT,
    pascal_context_459=_PASCAL_CONTEXT,
    pascal_voc_20=Preparation(
        'VOC2012 as {root} and SegmentationClassAug into it (for val, the '
        'SegmentationClass of VOC2012 serves as well)'),
    pascal_voc_21=Preparation('VOC2012 as {root}'),
    pascal_context_60=_PASCAL_CONTEXT,
    coco_object_81=Preparation(
        'val2017.zip of COCO into {root}/images, and stuffthingmaps_trainval2017.zip '
        'into {root}/stuffthingmaps_trainval2017',
        'dcpclip data convert coco_object {root}',
        ('images/val2017', 'stuffthingmaps_trainval2017')),
    cityscapes_19=Preparation(
        'leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of Cityscapes into '
        '{root}', 'dcpclip data convert cityscapes {root}',
        ('leftImg8bit/val', 'gtFine/val')))


def next_steps(name: str, root: str) -> list[str]:
    """Tell what to do for a dataset that is not complete.

    Args:
        name: One of ``PREPARATIONS``.
        root: Its data root.

    Returns:
        list[str]: Steps in order, such as 'get ...' and 'run ...'.
    """
    download, command, raw = PREPARATIONS[name]
    unpacked = raw and all((Path(root) / folder).is_dir() for folder in raw)
    steps = [] if unpacked else [f'get {download}']
    if command:
        steps.append(f'run {command}')
    return [step.format(root=root) for step in steps]


def check_dataset(name: str, data_root: str | Path | None = None,
                  read_labels: bool = False, workers: int | None = None
                  ) -> tuple[list[Report], list[str]]:
    """Check all splits of one dataset config.

    Args:
        name: One of ``PREPARATIONS``.
        data_root: Replaces the one in the config.
        read_labels: Decode every label and count its pixels.
        workers: Number of processes for that. None: one per core.

    Returns:
        tuple[list[Report], list[str]]: One report per split, and what to do next.
    """
    config = Config.fromfile(config_path(f'_base_/datasets/{name}'))
    # A folder called 2012 arrives as a number from a command line.
    root = str(data_root or config.data_root)
    reports = []
    for split in ('train', 'val'):
        if f'{split}_dataloader' in config:
            settings = config[f'{split}_dataloader'].dataset
            settings.update(data_root=root, pipeline=[], skip_unlabelled=True)
            reports.append(
                check_split(f'{name} {split}', partial(DATASETS.build, settings),
                            PUBLISHED[name, split], read_labels, workers))
    incomplete = any(report.problems for report in reports)
    return reports, next_steps(name, root) if incomplete else []
