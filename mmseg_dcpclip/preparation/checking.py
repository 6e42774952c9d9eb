"""Check a prepared dataset: files, sizes of splits, label values."""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from mmseg.datasets import BaseSegDataset
from PIL import Image, ImageOps
from tqdm import tqdm

from .loading import LoadWideAnnotations

# Images per split as published.
PUBLISHED = {
    ('coco_stuff_171', 'train'): 118287,
    ('coco_stuff_171', 'val'): 5000,
    ('ade20k_150', 'val'): 2000,
    ('ade20k_847', 'val'): 2000,
    ('pascal_context_59', 'val'): 5104,
    ('pascal_context_459', 'val'): 5104,
    ('pascal_voc_20', 'val'): 1449,
}


@dataclass
class Report:
    """What was found in one split.

    Attributes:
        title (str): Dataset and split.
        images (int): Number of images with a label.
        problems (list[str]): What is wrong, each with its remedy.
        pixels (np.ndarray, optional): int64, shape (num_classes + 1, ): pixels
            of each class, then ignored ones; None if labels were not read.
        names (tuple[str]): Class names.
    """

    title: str
    images: int = 0
    problems: list[str] = field(default_factory=list)
    pixels: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def lines(self, shown: int = 5) -> list[str]:
        """The report as text lines, at most ``shown`` problems of them."""
        lines = [f'{self.title}: {self.images} images']
        if self.pixels is not None:
            absent = [
                name for name, count in zip(self.names, self.pixels)
                if count == 0
            ]
            share = self.pixels[-1] / max(1, self.pixels.sum())
            lines.append(f'  {len(self.names) - len(absent)} of {len(self.names)} '
                         f'classes have pixels, {share:.1%} of the pixels are '
                         'ignored')
        lines += [f'  PROBLEM: {problem}' for problem in self.problems[:shown]]
        if len(self.problems) > shown:
            lines.append(f'  ... and {len(self.problems) - shown} more problems')
        return lines

    def histogram(self) -> list[dict]:
        """Pixels of each class, and ``None`` for ignored ones."""
        ids = [*range(len(self.names)), None]
        return [
            dict(id=i, name=name, pixels=int(count)) for i, name, count in zip(
                ids, [*self.names, 'ignored'], self.pixels, strict=True)
        ]


def count_label(info: dict, num_classes: int) -> np.ndarray | str:
    """Pixels per class of one label, ignored last; a message if it is bad."""
    try:
        with Image.open(info['img_path']) as image:
            # Only the header is read, unless the picture has to be turned.
            size = ImageOps.exif_transpose(image).size[::-1]
        label = LoadWideAnnotations()(dict(info, ori_shape=size))['gt_seg_map']
    except (OSError, ValueError) as error:
        return str(error)
    label[label == info['ignore_index']] = num_classes
    return np.bincount(label.ravel(), minlength=num_classes + 1)


def check_split(title: str,
                build: Callable[[], BaseSegDataset],
                published: int | None = None,
                read_labels: bool = True,
                workers: int | None = None) -> Report:
    """Check one split of a dataset.

    Args:
        title (str): Dataset and split, for the report.
        build (Callable): Builds the dataset, one with an
            :class:`OpenVocabMixin` and ``skip_unlabelled=True``.
        published (int, optional): Number of images it should have.
        read_labels (bool): Decode every label and count its pixels.
        workers (int, optional): Number of processes. Defaults to one per core.

    Returns:
        Report: What was found; nothing is raised for missing or broken files.
    """
    report = Report(title)
    try:
        dataset = build()
    except (OSError, ValueError) as error:
        report.problems.append(str(error))
        return report
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    report.images, report.names = len(infos), dataset.vocabulary.names
    if published is not None and len(infos) != published:
        report.problems.append(
            f'{len(infos)} labelled images, {published} are published; complete the '
            'download and run the converter again')
    if read_labels:
        _read_labels(report, infos, workers or os.cpu_count() or 1)
    return report


def _read_labels(report: Report, infos: list[dict], workers: int) -> None:
    num_classes = len(report.names)
    count = partial(count_label, num_classes=num_classes)
    bar = partial(tqdm, total=len(infos), desc=report.title, unit='img')
    report.pixels = np.zeros(num_classes + 1, dtype=np.int64)
    if workers == 1:
        results = list(bar(map(count, infos)))
    else:
        with ProcessPoolExecutor(workers) as executor:
            results = list(bar(executor.map(count, infos, chunksize=16)))
    for result in results:
        if isinstance(result, str):
            report.problems.append(result)
        else:
            report.pixels += result


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all data commands share."""
    parser.add_argument(
        '--workers', type=int, help='number of processes (default: one per core)')
    parser.add_argument(
        '--histogram', metavar='JSON', help='where to write the pixels of each class '
        'that a check counts')


def finish(reports: Sequence[Report], histogram: str | None = None) -> int:
    """Print reports and write their histograms.

    Args:
        reports (Sequence[Report]): One per split.
        histogram (str, optional): JSON file for the pixels of each class.

    Returns:
        int: Exit status, 1 if there is any problem.
    """
    for report in reports:
        print('\n'.join(report.lines()))
    if histogram:
        write_histogram(reports, histogram)
    return int(any(report.problems for report in reports))


def write_histogram(reports: Sequence[Report], path: str) -> None:
    """Write the pixels of each class of all splits that were read as JSON."""
    counted = {r.title: r.histogram() for r in reports if r.pixels is not None}
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(counted, file, indent=1, ensure_ascii=False)
    print(f'pixels of each class: {path}')
