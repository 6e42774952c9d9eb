"""Convert raw label downloads on all cores; what the converter commands share.

A converter makes a list of jobs and calls :func:`convert_all`. Finished files are
skipped, so an interrupted conversion goes on where it stopped; files are written
under another name first, so a half-written one never stays. The raw data is only
read.
"""

import io
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.io import loadmat
from tqdm import tqdm

from .labels import TEMPORARY, decode_label, write_atomic, write_label


class Job(NamedTuple):
    """One raw file and the files to make from it."""

    source: Path
    targets: tuple[Path, ...]


def remap_table(source_ids: Sequence[int], num_values: int,
                ignore_index: int) -> np.ndarray:
    """Make the table from raw label values to train ids.

    Args:
        source_ids (Sequence[int]): Raw value of each class in train-id order.
        num_values (int): Number of values a raw label can take.
        ignore_index (int): What all other values become.

    Returns:
        np.ndarray: shape (num_values, ), uint8 if ``ignore_index`` fits into it,
        else uint16.
    """
    dtype = np.uint8 if ignore_index <= 255 else np.uint16
    table = np.full(num_values, ignore_index, dtype=dtype)
    table[np.asarray(source_ids)] = np.arange(len(source_ids))
    return table


def remap(label: np.ndarray, table: np.ndarray, path: Path) -> np.ndarray:
    """Look every pixel up in a table of :func:`remap_table`.

    Args:
        label (np.ndarray): Raw integer label map, shape (H, W).
        table (np.ndarray): shape (num_values, ).
        path (Path): File named in the error.

    Returns:
        np.ndarray: The table's type, shape (H, W).

    Raises:
        ValueError: If the label holds a value the raw format does not have.
    """
    highest = int(label.max(initial=0))
    if highest >= len(table):
        raise ValueError(f'{path} holds the value {highest}, the format ends at '
                         f'{len(table) - 1}; is this the right download?')
    # 'clip' only saves time here: the values are checked above.
    return np.take(table, label, mode='clip')


def read_raw_png(path: Path) -> np.ndarray:
    """Read a raw label PNG: int32, shape (H, W)."""
    return decode_label(path.read_bytes(), str(path))


def read_label_map(path: Path) -> np.ndarray:
    """Read the ``LabelMap`` of a Pascal Context .mat: int32, shape (H, W)."""
    content = io.BytesIO(path.read_bytes())
    try:
        label = loadmat(content, variable_names=['LabelMap'])['LabelMap']
    except KeyError as error:
        raise ValueError(f"{path} holds no 'LabelMap'; is this the 459-class "
                         'download of Pascal Context?') from error
    except Exception as error:  # scipy raises many kinds on broken files
        raise ValueError(f'cannot read {path} ({error}); copy or unpack it '
                         'again') from error
    return label.astype(np.int32)


def read_ade20k_ids(path: Path) -> np.ndarray:
    """Read the class indices of ADE20K full from a ``*_seg.png``.

    The index is R // 10 * 256 + G.

    Args:
        path (Path): The colour-coded PNG.

    Returns:
        np.ndarray: int32, shape (H, W), 0 for unlabelled pixels.

    Raises:
        ValueError: If it is not an RGB image.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        with Image.open(content) as image:
            colors = np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'cannot decode {path} ({error}); copy or unpack it '
                         'again') from error
    if colors.ndim != 3 or colors.shape[2] < 3:
        raise ValueError(f'{path} is no RGB image; is this ADE20K_2021_17_01?')
    return colors[..., 0].astype(np.int32) // 10 * 256 + colors[..., 1]


def short_side_512(height: int, width: int) -> tuple[int, int]:
    """Size (rows, columns) after reducing the short side to at most 512."""
    scale = min(1.0, 512 / min(height, width))
    return round(height * scale), round(width * scale)


def convert_png(job: Job, table: np.ndarray) -> None:
    """Remap one 8-bit label PNG into another."""
    label = remap(read_raw_png(job.source), table, job.source)
    write_label(job.targets[0], label, wide=False)


def convert_mat(job: Job, tables: Sequence[tuple[np.ndarray, bool]]) -> None:
    """Remap one LabelMap into several PNGs, one per (table, 16 bits or not)."""
    raw = read_label_map(job.source)
    for target, (table, wide) in zip(job.targets, tables, strict=True):
        write_label(target, remap(raw, table, job.source), wide)


def convert_ade20k(job: Job, table: np.ndarray) -> None:
    """Convert one picture (.jpg) of ADE20K full and its ``*_seg.png``.

    Where the short side is over 512 the picture (bilinear) and the label
    (nearest) are reduced to it, and are scored at that size. The targets are
    the new picture and the new 16-bit label.
    """
    seg_path = job.source.with_name(f'{job.source.stem}_seg.png')
    label = remap(read_ade20k_ids(seg_path), table, seg_path)
    content = job.source.read_bytes()
    size = short_side_512(*label.shape)
    with Image.open(io.BytesIO(content)) as image:
        if image.size[::-1] != label.shape:
            raise ValueError(f'{job.source} is {image.size[::-1]}, its label '
                             f'{label.shape} (rows, columns); unpack them again')
        if size != label.shape:
            smaller = io.BytesIO()
            image.convert('RGB').resize(size[::-1], Image.BILINEAR).save(
                smaller, format='JPEG', quality=95)
            content = smaller.getvalue()
            label = np.array(
                Image.fromarray(label).resize(size[::-1], Image.NEAREST))
    write_atomic(job.targets[0], content)
    write_label(job.targets[1], label, wide=True)


def _guarded(convert: Callable[[Job], None], job: Job) -> str | None:
    """Convert one job; a bad file becomes a message, not the end of the run."""
    try:
        convert(job)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def convert_all(convert: Callable[[Job], None],
                jobs: Sequence[Job],
                workers: int | None = None,
                title: str = '') -> list[str]:
    """Run the jobs whose targets are not all there yet.

    Args:
        convert (Callable): A picklable function of one job.
        jobs (Sequence[Job]): All jobs.
        workers (int, optional): Number of processes. Defaults to one per core.
        title (str): Shown beside the progress bar.

    Returns:
        list[str]: One message per file that could not be converted.
    """
    for folder in {target.parent for job in jobs for target in job.targets}:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_left_overs(folder)
    todo = [job for job in jobs if not all(t.exists() for t in job.targets)]
    if len(todo) < len(jobs):
        print(f'{title}: {len(jobs) - len(todo)} of {len(jobs)} are done already')
    guarded = partial(_guarded, convert)
    workers = min(workers or os.cpu_count() or 1, max(1, len(todo)))
    bar = partial(tqdm, total=len(todo), desc=title, unit='img')
    if workers == 1:
        return [message for message in bar(map(guarded, todo)) if message]
    # Small chunks keep the bar moving and all cores busy to the end.
    chunk = max(1, min(32, len(todo) // (workers * 4)))
    executor = ProcessPoolExecutor(workers)
    try:
        results = executor.map(guarded, todo, chunksize=chunk)
        return [message for message in bar(results) if message]
    finally:
        executor.shutdown(cancel_futures=True)


def summarize_run(problems: Sequence[str], num_jobs: int) -> int:
    """Print what became of a conversion.

    Args:
        problems (Sequence[str]): As returned by :func:`convert_all`.
        num_jobs (int): Number of all jobs.

    Returns:
        int: Exit status, 1 if a file could not be converted.
    """
    for problem in problems[:20]:
        print(f'PROBLEM: {problem}')
    print(f'{num_jobs - len(problems)} of {num_jobs} converted, {len(problems)} '
          'could not be; run again with --check to count classes and pixels')
    return int(bool(problems))


def _remove_left_overs(folder: Path) -> None:
    """Remove what an earlier, killed run was writing.

    Only names that :func:`write_atomic` makes are touched.
    """
    pattern = re.compile(rf'\..+\.\d+{re.escape(TEMPORARY)}')
    for path in folder.iterdir():
        if pattern.fullmatch(path.name):
            path.unlink()
