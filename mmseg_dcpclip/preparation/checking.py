"""Check a prepared dataset: files, sizes of splits, label values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from mmseg.datasets import BaseSegDataset

from ..datasets import LoadWideAnnotations
from ..datasets.pictures import picture_size
from ..files import write_json
from .parallel import map_files

# Images per split as published.
PUBLISHED = {
    ('coco_stuff_171', 'train'): 118287,
    ('coco_stuff_171', 'val'): 5000,
    ('ade20k_150', 'val'): 2000,
    ('ade20k_847', 'val'): 2000,
    ('pascal_context_59', 'val'): 5104,
    ('pascal_context_459', 'val'): 5104,
    ('pascal_voc_20', 'val'): 1449,
    ('pascal_voc_21', 'val'): 1449,
    ('pascal_context_60', 'val'): 5104,
    ('coco_object_81', 'val'): 5000,
    ('cityscapes_19', 'val'): 500,
}


@dataclass
class Report:
    """What was found in one split.

    Attributes:
        title: Dataset and split.
        images: Number of images with a label.
        problems: What is wrong, each with its remedy.
        notes: What is worth knowing.
        pixels: int64 [num_classes + 1]: pixels of each class, then ignored ones.
            None: the labels were not read.
        names: Class names.
    """

    title: str
    images: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pixels: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def lines(self, shown: int = 5) -> list[str]:
        """The report as text.

        Args:
            shown: Number of problems that are written out.

        Returns:
            list[str]: Its lines.
        """
        lines = [f'{self.title}: {self.images} images']
        if self.pixels is not None:
            present = np.count_nonzero(self.pixels[:-1])
            share = self.pixels[-1] / max(1, self.pixels.sum())
            lines.append(f'  {present} of {len(self.names)} classes have pixels, '
                         f'{share:.1%} of the pixels are ignored')
        lines += [f'  {note}' for note in self.notes]
        lines += [f'  PROBLEM: {problem}' for problem in self.problems[:shown]]
        if len(self.problems) > shown:
            lines.append(f'  ... and {len(self.problems) - shown} more problems')
        return lines

    def histogram(self) -> list[dict]:
        """The pixels of each class as plain types.

        Returns:
            list[dict]: ``id``, ``name`` and ``pixels`` of each class, then of ignored
            pixels with the id None. Nothing if the labels were not read.
        """
        if self.pixels is None:
            return []
        ids = [*range(len(self.names)), None]
        return [
            dict(id=i, name=name, pixels=int(count)) for i, name, count in zip(
                ids, [*self.names, 'ignored'], self.pixels, strict=True)
        ]


def count_label(info: dict, num_classes: int) -> np.ndarray | str:
    """Count the pixels of one label.

    Args:
        info: An image of a dataset, as ``get_data_info`` of mmseg gives it.
        num_classes: Number of classes.

    Returns:
        np.ndarray | str: Pixels [num_classes + 1] per class, ignored ones last; a
        message if the label is bad.
    """
    try:
        size = picture_size(info['img_path'])
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
        title: Dataset and split, for the report.
        build: Builds the dataset, one with an ``OpenVocabMixin`` and
            ``skip_unlabelled=True``.
        published: Number of images it should have.
        read_labels: Decode every label and count its pixels.
        workers: Number of processes for that. None: one per core.

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
        _read_labels(report, infos, workers)
    return report


def write_histogram(reports: Sequence[Report], path: str | Path) -> None:
    """Write the pixels of each class of all splits that were read.

    Args:
        reports: One per split.
        path: The JSON file, with one entry per split.
    """
    counted = {r.title: r.histogram() for r in reports if r.pixels is not None}
    write_json(path, counted, ensure_ascii=False)


def _read_labels(report: Report, infos: list[dict], workers: int | None) -> None:
    """Add pixels, and problems of labels, to a report."""
    if not all('seg_map_path' in info for info in infos):
        report.notes.append('there are no label files to read')
        return
    num_classes = len(report.names)
    report.pixels = np.zeros(num_classes + 1, dtype=np.int64)
    count = partial(count_label, num_classes=num_classes)
    for result in map_files(count, infos, workers, report.title):
        if isinstance(result, str):
            report.problems.append(result)
        else:
            report.pixels += result
