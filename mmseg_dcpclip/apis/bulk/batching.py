"""Pictures read, made ready and put together in batches, in worker processes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dataset import Compose
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..preparing import prepare
from .parts import Part, Share, Source
from .processes import Processes
from .records import Done

MAX_VALUES = 2**27  # of pictures that wait for others of their size, in one worker


@dataclass
class Batch:
    """Pictures of a part that have one size behind the pipeline.

    Attributes:
        place: Of the part.
        stems: Of B pictures.
        names: Likewise.
        inputs: [B, 3, H, W], as the pipeline packs them; None without pictures.
        samples: Their data samples.
        pictures: What they are drawn over: files, content of files or pixels; empty
            where nothing is drawn.
        bad: With the last batch of a part, names of its pictures that cannot be used,
            and why.
        there: With the last batch of a part, how many of its pictures are done already.
        last: Whether this is the last batch of the part.
    """
    place: str
    stems: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    inputs: Tensor | None = None
    samples: list[SegDataSample] = field(default_factory=list)
    pictures: list[Path | bytes | np.ndarray] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    there: int = 0
    last: bool = False


@dataclass
class BatchSettings:
    """How pictures become batches.

    Attributes:
        pipeline: What makes a picture ready, as ``Predictor.pipeline``.
        batch_size: Pictures in a batch, at most.
        draw: Whether the pictures go with the batches.
    """
    pipeline: Compose
    batch_size: int
    draw: bool = False


class Batches(IterableDataset):
    """All batches of a source that are this process' and not yet done.

    Pictures are put together only with those of the same part and of the same size, so
    that nothing is padded. What waits for others is bounded.

    Args:
        source: The pictures.
        settings: How they become batches.
        done: Pictures that are left out.
        processes: This process among those that share the work.
    """

    def __init__(self, source: Source, settings: BatchSettings, done: Done,
                 processes: Processes) -> None:
        self.source = source
        self.settings = settings
        self.done = done
        self.processes = processes

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        share = Share(self.processes.rank + self.processes.count * worker,
                      self.processes.count * workers)
        for part in self.source.parts(share):
            yield from batches_of(part, self.settings, self.done)


def load_batches(batches: Batches, workers: int) -> DataLoader:
    """Make the batches in worker processes, or here with 0; two of each may wait."""
    return DataLoader(batches, batch_size=None, num_workers=workers,
                      worker_init_fn=_only_one_thread,
                      prefetch_factor=2 if workers else None)


def _only_one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # torch has done so for itself


def batches_of(part: Part, settings: BatchSettings, done: Done) -> Iterator[Batch]:
    """The batches of a part; the last one has no pictures.

    Args:
        part: The pictures.
        settings: How they become batches.
        done: Pictures that are left out.
    """
    waiting: dict[tuple[int, ...], list[tuple]] = {}  # by size
    held = there = 0
    bad: dict[str, str] = {}
    for item in part.items:
        if item.stem in done:
            there += 1
            continue
        try:
            picture = item.load()
            packed = prepare(settings.pipeline, picture)
        except Exception as error:  # one of a million must not end the work
            bad[item.name] = _reason(error)
            continue
        kept: Any = item.content if isinstance(item.content, Path | bytes) else picture
        inputs = packed['inputs']
        group = waiting.setdefault(tuple(inputs.shape), [])
        group.append((item, inputs, packed['data_samples'],
                      [kept] if settings.draw else []))
        held += inputs.numel()
        if len(group) == settings.batch_size:
            del waiting[tuple(inputs.shape)]
            held -= inputs.numel() * len(group)
            yield _together(part.place, group)
        while held > MAX_VALUES:
            oldest = waiting.pop(next(iter(waiting)))
            held -= oldest[0][1].numel() * len(oldest)
            yield _together(part.place, oldest)
    for group in waiting.values():
        yield _together(part.place, group)
    yield Batch(part.place, bad=bad, there=there, last=True)


def _together(place: str, group: list[tuple]) -> Batch:
    items, inputs, samples, pictures = zip(*group)
    return Batch(place, [item.stem for item in items], [item.name for item in items],
                 torch.stack(inputs), list(samples), sum(pictures, []))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f'{os.fsdecode(error.filename)}: {error.strerror}'
    text = ' '.join(str(error).split())
    return text if isinstance(error, ValueError | OSError) else (
        f'{type(error).__name__}: {text}')
