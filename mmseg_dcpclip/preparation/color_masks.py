"""Label ids from masks in colours, by a table of colours.

``dcpclip data convert color_masks --help`` shows the folders and the table.
"""

import csv
import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..datasets.folders import find_pictures, shared_names
from ..datasets.labels import WIDE_IGNORE, write_label
from ..datasets.pictures import load_image
from ..files import write_atomic
from .conversion import Conversion, FileJob, convert_all

IGNORE = 'ignore'  # the name of colours without a class


class ColorTable(NamedTuple):
    """Which colour means what.

    Attributes:
        names: The classes, in order of their first colour.
        codes: int32 [n], sorted: r * 65536 + g * 256 + b of each colour.
        ids: int32 [n]: the class of each, -1 for colours without a class.
    """

    names: tuple[str, ...]
    codes: np.ndarray
    ids: np.ndarray


def read_colors(path: Path) -> ColorTable:
    """Read a table of names and colours.

    Text and csv files hold a name and three numbers of 0..255 a line, separated by
    commas, semicolons, tabs or blanks; a heading is passed over. JSON files hold
    ``{"name": [r, g, b]}`` or a list of ``[name, r, g, b]``. A class may have several
    colours; those named 'ignore' have none.

    Args:
        path: The file.

    Raises:
        ValueError: A line is none of these, or a colour has two names.
        FileNotFoundError: There is no such file.
    """
    names: dict[str, int] = {}
    found: dict[int, tuple[int, str]] = {}
    for place, name, color in _rows(path):
        number = -1 if name.lower() == IGNORE else names.setdefault(name, len(names))
        code = color[0] * 65536 + color[1] * 256 + color[2]
        if found.setdefault(code, (number, name))[0] != number:
            raise ValueError(f'{path}, {place}: the colour {color} is that of '
                             f"'{found[code][1]}' already; give '{name}' another one")
    if not names:
        raise ValueError(f'{path} names no class; a line is: name,r,g,b')
    codes = np.array(sorted(found), dtype=np.int32)
    return ColorTable(tuple(names), codes,
                      np.array([found[c][0] for c in codes.tolist()], dtype=np.int32))


def _rows(path: Path) -> list[tuple[str, str, tuple[int, ...]]]:
    """Place, name and colour of each row of a table."""
    try:
        text = path.read_text(encoding='utf-8-sig')
        content = json.loads(text) if path.suffix.lower() == '.json' else None
    except ValueError as error:  # no UTF-8, or no JSON
        raise ValueError(f'{path} cannot be read as a table of colours: '
                         f'{error}') from error
    if content is not None:
        rows = ([(name, *color) for name, color in content.items()]
                if isinstance(content, dict) else list(content))
        numbered = [(f'entry {i}', row) for i, row in enumerate(rows)]
    else:
        numbered = [(f'line {i}', row) for i, row in enumerate(
            map(_cells, text.splitlines()), 1) if row]
    found: list[tuple[str, str, tuple[int, ...]]] = []
    for position, (place, row) in enumerate(numbered):
        try:
            name, *color = row
            values = tuple(int(value) for value in color)
            if len(values) != 3 or not all(0 <= v <= 255 for v in values) or not name:
                raise ValueError
        except (TypeError, ValueError):
            if position == 0 and content is None:
                continue  # a heading
            raise ValueError(f'{path}, {place}: expected a name and three numbers of '
                             f'0..255 (name,r,g,b), got {row!r}') from None
        found.append((place, ' '.join(str(name).split()), values))
    return found


def _cells(line: str) -> list[str]:
    """Name, r, g and b of a line; a name may hold blanks."""
    for separator in ',;\t':
        if separator in line:
            return [cell.strip() for cell in next(csv.reader([line],
                                                             delimiter=separator))]
    return line.rsplit(maxsplit=3)


def ids_of_colors(mask: np.ndarray, table: ColorTable, ignore_index: int,
                  ignore_unknown: bool, path: Path) -> np.ndarray:
    """Look the colour of every pixel up.

    Args:
        mask: uint8 [H, W, 3] in RGB.
        table: The colours.
        ignore_index: What pixels without a class become.
        ignore_unknown: Whether colours that are not in the table have no class.
        path: File named in the error.

    Returns:
        np.ndarray: int32 [H, W].

    Raises:
        ValueError: A colour is not in the table.
    """
    codes = mask.astype(np.int32) @ np.array([65536, 256, 1], dtype=np.int32)
    places = np.searchsorted(table.codes, codes).clip(max=len(table.codes) - 1)
    known = table.codes[places] == codes
    if not ignore_unknown and not known.all():
        others, counts = np.unique(codes[~known], return_counts=True)
        most = int(others[counts.argmax()])
        raise ValueError(
            f'{path} holds {len(others)} colours that are not in the table, such as '
            f'({most >> 16}, {most >> 8 & 255}, {most & 255}) in {counts.max()} pixels;'
            f" add them, with the name '{IGNORE}' where they mean no class, or take "
            '--ignore-unknown')
    ids = np.where(known, table.ids[places], -1)
    return np.where(ids < 0, ignore_index, ids).astype(np.int32)


def convert_mask(job: FileJob, table: ColorTable, ignore_unknown: bool) -> None:
    """Convert one mask; it is read as pictures are.

    Args:
        job: The mask and the label.
        table: The colours.
        ignore_unknown: See ``ids_of_colors``.

    Raises:
        ValueError: The mask cannot be read, or a colour is not in the table.
    """
    wide = len(table.names) > 255
    label = ids_of_colors(load_image(job.source), table, WIDE_IGNORE if wide else 255,
                          ignore_unknown, job.source)
    write_label(job.targets[0], label, wide)


def convert(masks: Path, colors: Path, out: Path, ignore_unknown: bool = False,
            workers: int | None = None) -> list[Conversion]:
    """Convert a folder of masks and write the class file.

    Args:
        masks: The masks; subfolders such as train and val are kept.
        colors: The table of colours.
        out: The dataset: gets ``labels`` and ``classes.txt``.
        ignore_unknown: See ``ids_of_colors``.
        workers: Number of processes. None: one per core.

    Returns:
        list[Conversion]: One.

    Raises:
        FileNotFoundError: There are no masks, or no table.
        ValueError: The table is wrong, two masks would become one label, or ``out``
            has other classes.
    """
    table = read_colors(colors)
    names = find_pictures(str(masks)).names if masks.is_dir() else []
    if not names:
        raise FileNotFoundError(f'no masks in {masks}: give their folder')
    for first, second in shared_names(names, None):
        raise ValueError(f'{masks / first} and {second} would become the same label; '
                         'rename one of them')
    classes, text = out / 'classes.txt', '\n'.join(table.names)
    if classes.exists() and classes.read_text(encoding='utf-8').strip() != text:
        raise ValueError(f'{classes} has other classes than {colors}, or another '
                         'order: make them the same, or remove it')
    jobs = [FileJob(masks / name, ((out / 'labels' / name).with_suffix('.png'), ))
            for name in names]
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(classes, f'{text}\n'.encode())
    return [convert_all(partial(convert_mask, table=table,
                                ignore_unknown=ignore_unknown),
                        jobs, workers, 'color_masks')]
