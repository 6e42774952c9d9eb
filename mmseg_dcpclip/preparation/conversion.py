"""Convert raw label downloads; what the converters of all datasets share.

A converter makes a list of jobs and calls ``convert_all``. Finished files are
skipped, so an interrupted conversion goes on where it stopped; files are written
under another name first, so a half-written one never stays. The raw data is only
read.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..datasets.labels import decode_label, write_label
from ..files import TEMPORARY
from .parallel import map_files


class FileJob(NamedTuple):
    """One raw file and the files to make from it.

    Attributes:
        source: The raw file.
        targets: The files to make.
    """

    source: Path
    targets: tuple[Path, ...]


@dataclass(frozen=True)
class Conversion:
    """What became of a list of jobs.

    Attributes:
        title: Dataset and split.
        jobs: Number of all jobs.
        done_before: Number of those that an earlier run had finished.
        problems: One message per file that could not be converted.
    """

    title: str
    jobs: int
    done_before: int = 0
    problems: list[str] = field(default_factory=list)


def remap_table(source_ids: Sequence[int], num_values: int,
                others: int) -> np.ndarray:
    """Make the table from raw label values to train ids.

    Args:
        source_ids: Raw value of each class in train-id order.
        num_values: Number of values a raw label can take.
        others: What all other values become: the ignore index, or the background's id.

    Returns:
        np.ndarray: [num_values], uint8 if ``others`` fits into it, else uint16.
    """
    dtype = np.uint8 if others <= 255 else np.uint16
    table = np.full(num_values, others, dtype=dtype)
    table[np.asarray(source_ids)] = np.arange(len(source_ids))
    return table


def remap(label: np.ndarray, table: np.ndarray, path: Path) -> np.ndarray:
    """Look every pixel up in a table of ``remap_table``.

    Args:
        label: Raw integer label map [H, W].
        table: The table [num_values].
        path: File named in the error.

    Returns:
        np.ndarray: The table's type [H, W].

    Raises:
        ValueError: The label holds a value the raw format does not have.
    """
    highest = int(label.max(initial=0))
    if highest >= len(table):
        raise ValueError(f'{path} holds the value {highest}, the format ends at '
                         f'{len(table) - 1}; is this the right download?')
    # 'clip' only saves time here: the values are checked above.
    return np.take(table, label, mode='clip')


def convert_png(job: FileJob, table: np.ndarray) -> None:
    """Remap one label PNG into an 8-bit one.

    Args:
        job: The raw PNG and the PNG to write.
        table: As of ``remap_table``.

    Raises:
        ValueError: The raw PNG cannot be decoded or holds a value too high.
    """
    raw = decode_label(job.source.read_bytes(), str(job.source))
    write_label(job.targets[0], remap(raw, table, job.source), wide=False)


def convert_all(convert: Callable[[FileJob], None],
                jobs: Sequence[FileJob],
                workers: int | None = None,
                title: str = '') -> Conversion:
    """Run the jobs whose targets are not all there yet.

    Args:
        convert: A picklable function of one job.
        jobs: All jobs.
        workers: Number of processes. None: one per core.
        title: Dataset and split, shown beside the progress bar.

    Returns:
        Conversion: What became of the jobs; bad files are named there and do not end
        the run.
    """
    for folder in {target.parent for job in jobs for target in job.targets}:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_left_overs(folder)
    todo = [job for job in jobs if not all(t.exists() for t in job.targets)]
    done_before = len(jobs) - len(todo)
    messages = map_files(partial(_guarded, convert), todo, workers, title, done_before)
    return Conversion(title, len(jobs), done_before, [m for m in messages if m])


def _guarded(convert: Callable[[FileJob], None], job: FileJob) -> str | None:
    """Convert one job; a bad file becomes a message, not the end of the run."""
    try:
        convert(job)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _remove_left_overs(folder: Path) -> None:
    """Remove what an earlier, killed run was writing.

    Only names that ``write_atomic`` makes are touched.
    """
    pattern = re.compile(rf'\..+\.\d+{re.escape(TEMPORARY)}')
    for path in folder.iterdir():
        if pattern.fullmatch(path.name):
            path.unlink()
