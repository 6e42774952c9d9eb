"""Check a dataset of one's own: find all that is wrong with it, and say what to do."""

import os
import os.path as osp
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

from ..datasets import TextVocabDataset
from ..datasets.folders import Pictures, count_text, shared_names, without_suffix
from ..datasets.labels import decode_label
from ..datasets.loading import reduce_zero
from ..datasets.pictures import load_image, orientation_of, picture_size
from .checking import Report, check_split
from .parallel import map_files

SHOWN = 20  # names or values in a line


@dataclass
class Pair:
    """What one picture and its label hold.

    Attributes:
        label_path: The label, or None.
        problems: Of files that cannot be read or do not fit.
        values: Pixels by value of the label, as stored.
        turned: Whether the picture carries an orientation.
        transparent: Whether it has transparency.
    """

    label_path: str | None
    problems: list[str]
    values: dict[int, int]
    turned: bool = False
    transparent: bool = False


def read_pair(info: Mapping[str, Any]) -> Pair:
    """Read a picture and its label to the end.

    Args:
        info: ``img_path`` and, where there is one, ``seg_map_path``.
    """
    pair = Pair(info.get('seg_map_path'), [], {})
    size = None
    try:
        load_image(info['img_path'])
        size = picture_size(info['img_path'])
        with Image.open(info['img_path']) as image:
            pair.transparent = 'A' in image.mode or 'transparency' in image.info
            pair.turned = orientation_of(image) != 1
    except (OSError, ValueError) as error:
        pair.problems.append(str(error))
    if pair.label_path is not None:
        try:
            label = decode_label(Path(pair.label_path).read_bytes(), pair.label_path)
        except (OSError, ValueError) as error:
            pair.problems.append(str(error))
            return pair
        pair.values = dict(zip(*(a.tolist() for a in np.unique(
            label, return_counts=True)), strict=True))
        if size is not None and size != label.shape:
            pair.problems.append(
                f'the label {pair.label_path} is {label.shape}, its picture '
                f'{info["img_path"]} {size} (rows, columns) as viewers show it; export '
                'them again, in one orientation')
    return pair


def check_own(title: str, settings: Mapping[str, Any],
              workers: int | None = None) -> Report:
    """Check one split of a ``TextVocabDataset``.

    Args:
        title: Dataset and split, for the report.
        settings: The dataset as a config has it.
        workers: Number of processes. None: one per core.

    Returns:
        Report: What was found; nothing is raised for missing or broken files.
    """
    report = Report(title)
    try:
        dataset: TextVocabDataset = DATASETS.build(
            dict(settings, pipeline=[], lazy_init=True))
        dataset.check_folders()
        pictures = dataset.find_pictures()
    except (OSError, ValueError) as error:
        report.problems.append(str(error))
        return report
    report.names = dataset.vocabulary.names
    pairs = _pairs(dataset, pictures, report)
    found = map_files(read_pair, pairs, workers, title)
    report.images = len(found)
    for what, number in (
            ('pictures carry an orientation: they are turned as viewers show them, and '
             'so must their labels lie', sum(pair.turned for pair in found)),
            ('pictures have transparency: they lie on white',
             sum(pair.transparent for pair in found))):
        if number:
            report.notes.append(f'{number} {what}')
    if any(pair.values for pair in found):
        _judge_values(dataset, found, report)
    # Last, as they may be many.
    report.problems += [problem for pair in found for problem in pair.problems]
    return report


def _pairs(dataset: TextVocabDataset, pictures: Pictures, report: Report) -> list[dict]:
    """The pictures with their labels; what does not pair is told."""
    folder, labels = dataset.data_prefix['img_path'], dataset.data_prefix.get(
        'seg_map_path')
    names, left_out = pictures
    if left_out:
        text = f'{left_out.total()} files in {folder} are left out'
        if dataset.img_suffix is None:
            report.notes.append(f'{text} ({count_text(left_out)}): they are none of '
                                'the kinds of pictures that are read')
        else:
            report.problems.append(
                f'{text} ({count_text(left_out)}), as img_suffix is '
                f'{dataset.img_suffix}; img_suffix=None takes all kinds of pictures')
    if not names:
        report.problems.append(f'no pictures in {folder}')
    for first, second in shared_names(names, dataset.img_suffix):
        report.problems.append(f'{osp.join(folder, first)} and {second} would have the '
                               'same label; rename one of them')
    pairs = [dict(img_path=osp.join(folder, name)) for name in names]
    if labels is None:
        report.notes.append('there are no labels: nothing can be scored')
        return pairs
    there = {osp.relpath(osp.join(place, name), labels).replace(os.sep, '/')
             for place, _, files in os.walk(labels) for name in files
             if not name.startswith('.')}
    stems = {osp.splitext(name)[0]: name for name in sorted(there)}
    missing, used = [], set()
    for pair, name in zip(pairs, names, strict=True):
        stem = without_suffix(name, dataset.img_suffix)
        label = stem + dataset.seg_map_suffix
        if label in there:
            pair['seg_map_path'] = osp.join(labels, label)
            used.add(label)
        else:
            missing.append((name, stems.get(stem)))
    if missing:
        name, other = missing[0]
        (report.notes if dataset.skip_unlabelled else report.problems).append(
            f'{len(missing)} of {len(names)} pictures have no label, such as '
            f'{osp.join(folder, name)}; ' + (
                f'{osp.join(labels, other)} is there: labels end with '
                f'{dataset.seg_map_suffix}, see seg_map_suffix' if other else
                'add the labels, or set skip_unlabelled=True to leave these out'))
    alone = sorted(name for name in there - used
                   if name.endswith(dataset.seg_map_suffix))
    if alone and not dataset.ann_file:
        report.problems.append(
            f'{len(alone)} labels belong to no picture, such as '
            f'{osp.join(labels, alone[0])}; add the pictures, or remove them')
    return pairs


def _judge_values(dataset: TextVocabDataset, found: Sequence[Pair], report: Report
                  ) -> None:
    """Count the classes, and tell which values the labels hold and what is odd."""
    num_classes, ignore = len(report.names), dataset.ignore_index
    counts: Counter[int] = Counter()
    files: Counter[int] = Counter()
    for pair in found:
        counts.update(pair.values)
        files.update(pair.values.keys())
    report.notes.append(f'values in the labels: {ranges(sorted(counts))}')
    report.pixels = np.zeros(num_classes + 1, dtype=np.int64)
    outside = []
    for value, number in counts.items():
        class_id = (int(reduce_zero(np.array([value]), ignore)[0])
                    if dataset.reduce_zero_label else value)
        if 0 <= class_id < num_classes:
            report.pixels[class_id] += number
        elif class_id == ignore:
            report.pixels[-1] += number
        else:
            outside.append(value)
    from_one = (not dataset.reduce_zero_label
                and max(set(counts) - {ignore}, default=0) == num_classes)
    masks = num_classes == 2 and set(counts) == {0, 255} and ignore == 255
    if masks:
        report.problems.append(
            "the labels hold only 0 and 255, and 255 is the ignore index: class 1, "
            f"'{report.names[1]}', has no pixel; make ids from the masks with `dcpclip "
            'data convert color_masks` (the colours 0,0,0 and 255,255,255)')
    elif from_one:
        report.problems.append(
            f'the labels seem to count from 1: their highest value is {num_classes}, '
            f'and there are {num_classes} classes, 0..{num_classes - 1}. If 0 means no '
            'class, set reduce_zero_label=True; else a class is missing in the list')
    elif outside:
        first = next(pair for pair in found if set(outside) & set(pair.values))
        report.problems.append(
            f'the values {ranges(sorted(outside))} are neither a class '
            f'(0..{num_classes - 1}) nor the ignore index {ignore}; they are in '
            f'{max(files[value] for value in outside)} labels or more, such as '
            f'{first.label_path}: convert the labels, or correct the class file or '
            'ignore_index')
    empty = [name for name, pixels in zip(report.names, report.pixels[:-1])
             if not pixels]
    if len(empty) == num_classes:
        report.problems.append('no pixel has a class')
    elif empty and not masks:
        report.notes.append(f'{len(empty)} classes have no pixel: '
                            f'{", ".join(empty[:SHOWN])}'
                            + (', ...' if len(empty) > SHOWN else ''))


def ranges(values: Iterable[int]) -> str:
    """Sorted numbers as text: '0..3, 7, 255'."""
    spans: list[list[int]] = []
    for value in values:
        if spans and value == spans[-1][1] + 1:
            spans[-1][1] = value
        else:
            spans.append([value, value])
    texts = [str(a) if a == b else f'{a}..{b}' for a, b in spans]
    return ', '.join(texts[:SHOWN]) + (', ...' if len(texts) > SHOWN else '')


def check_config(config: Config, read_labels: bool = False,
                 workers: int | None = None) -> list[Report]:
    """Check the datasets of a config.

    Args:
        config: With ``train_dataloader``, ``val_dataloader`` or ``test_dataloader``.
            Datasets inside of others, such as of ``ConcatDataset``, are checked, too.
        read_labels: As ``check_split``; datasets of one's own are always read.
        workers: Number of processes. None: one per core.

    Returns:
        list[Report]: One per dataset; one that was checked before is not checked again.

    Raises:
        ValueError: The config has no dataset.
    """
    name = Path(config.filename or 'config').stem
    checked: list[dict] = []
    reports = []
    for split in ('train', 'val', 'test'):
        loader = config.get(f'{split}_dataloader') or {}
        for settings in _datasets(loader.get('dataset')):
            settings = dict(settings, pipeline=[])
            if settings in checked:
                continue
            checked.append(settings)
            own = issubclass(DATASETS.get(settings['type']), TextVocabDataset)
            reports.append(
                check_own(f'{name} {split}', settings, workers) if own else check_split(
                    f'{name} {split}', partial(DATASETS.build, settings), None,
                    read_labels, workers))
    if not reports:
        raise ValueError(f'{config.filename} has no dataset in a train_dataloader, '
                         'val_dataloader or test_dataloader')
    return reports


def _datasets(settings: Any) -> list[dict]:
    """The datasets of a setting, without the wrappers around them."""
    if not isinstance(settings, Mapping):
        return []
    inner = settings.get('datasets') or [settings.get('dataset')]
    found = [one for part in inner for one in _datasets(part)]
    return found or [dict(settings)]
