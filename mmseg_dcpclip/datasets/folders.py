"""Which pictures and labels lie in folders, and which of them belong together."""

import os.path as osp
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import mmengine.fileio as fileio

from .pictures import PICTURE_SUFFIXES


class Pictures(NamedTuple):
    """The pictures of a folder and its subfolders.

    Attributes:
        names: Their paths below the folder, sorted.
        left_out: Number of other files by their suffix; where one was asked for, of
            pictures only.
    """

    names: list[str]
    left_out: Counter[str]


def find_pictures(folder: str, suffix: str | None = None,
                  backend_args: dict | None = None) -> Pictures:
    """List the pictures of a folder and its subfolders.

    Hidden files are passed over.

    Args:
        folder: The folder.
        suffix: What names of pictures end with, as it is written. None: one of
            ``PICTURE_SUFFIXES`` in small or capital letters.
        backend_args: Arguments of the file backend.
    """
    names: list[str] = []
    left_out: Counter[str] = Counter()
    for name in fileio.list_dir_or_file(folder, list_dir=False, recursive=True,
                                        backend_args=backend_args):
        ending = osp.splitext(name)[1]
        found = (ending.lower() in PICTURE_SUFFIXES if suffix is None
                 else name.endswith(suffix))
        if found:
            names.append(name)
        elif suffix is None or ending.lower() in PICTURE_SUFFIXES:
            left_out[ending or osp.basename(name)] += 1
    return Pictures(sorted(names), left_out)


def without_suffix(name: str, suffix: str | None) -> str:
    """The name that a picture shares with its label."""
    return osp.splitext(name)[0] if suffix is None else name[:-len(suffix)]


def shared_names(names: Iterable[str], suffix: str | None) -> list[tuple[str, str]]:
    """Pairs of pictures that would have the same label, such as a.jpg and a.png."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        other = first.setdefault(without_suffix(name, suffix), name)
        if other != name:
            pairs.append((other, name))
    return pairs


def count_text(counts: Counter[str]) -> str:
    """Counted suffixes as text: '3 .JPG, 1 .txt'."""
    return ', '.join(f'{number} {suffix}' for suffix, number in counts.most_common())
