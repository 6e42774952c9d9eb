"""Pictures on disk, and the names of what is written for them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import overload

import numpy as np

# as torchvision reads folders, and gif
PICTURES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff',
            '.webp')
LIST = '.txt'
LOOKED_AT = 100  # lines of a list, to see where its paths begin


@dataclass(frozen=True)
class PictureFile:
    """A picture that is to be read.

    Attributes:
        path: The file.
        stem: Relative path, without an ending, of what is written for it; no other
            picture has the same.
        name: The same with its ending.
    """
    path: Path
    stem: str
    name: str


class PackedText(Sequence[str]):
    """Texts in one piece of memory: a million paths are no million objects.

    Args:
        texts: The texts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        content, ends = bytearray(), [0]
        for text in texts:
            content += os.fsencode(text)
            ends.append(len(content))
        self._content, self._ends = bytes(content), np.array(ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return os.fsdecode(self._content[self._ends[index]:self._ends[index + 1]])


class PictureFiles(Sequence[PictureFile]):
    """Pictures, made when they are asked for.

    Args:
        paths: The files, each once.
        top: The folder, as an absolute path, that holds all.
    """

    def __init__(self, paths: Sequence[str], top: str) -> None:
        self.top = top
        self._paths = PackedText(paths)
        cut = len(os.path.join(top, ''))
        self._names = PackedText(os.path.abspath(path)[cut:] for path in paths)
        count = Counter(map(_bare, self._names))
        twice = {stem for stem, number in count.items() if number > 1}
        # a.jpg beside a.png keep their ending, and all do where that helps not
        self._keep = None if any(
            name in count and _bare(name) in twice for name in self._names) else twice

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> PictureFile: ...

    @overload
    def __getitem__(self, index: slice) -> list[PictureFile]: ...

    def __getitem__(self, index: int | slice) -> PictureFile | list[PictureFile]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        name = self._names[index]
        bare = _bare(name)
        keep = self._keep is None or bare in self._keep
        return PictureFile(Path(self._paths[index]), name if keep else bare, name)


def find_pictures(sources: Sequence[Path], leave_out: Path | None = None
                  ) -> PictureFiles:
    """List pictures given as files, folders and lists, each once.

    Folders are searched with all that is in them; hidden files, and files without a
    picture's ending, are passed over. A list is a .txt file with a path on each line,
    as seen from the current folder or else from that of the list; what it names is not
    looked for here. The names of what is written are relative to the one folder given,
    or to the deepest folder that holds all.

    Args:
        sources: Files, folders and lists.
        leave_out: A folder that is not searched, such as that of the output.

    Raises:
        FileNotFoundError: A source does not exist, or none of a list's first files.
        ValueError: A folder or list holds no picture.
    """
    hidden = None if leave_out is None else os.path.abspath(leave_out)
    groups: list[list[str]] = []
    tops: set[str] = set()
    for source in sources:
        if source.is_dir():
            inside = sorted(_inside(str(source), hidden), key=_parts)
            if not inside:
                raise ValueError(f'no picture in {source}: looked for '
                                 f'{", ".join(PICTURES)}')
            tops.add(os.path.abspath(source))
        elif source.is_file():
            inside = read_list(source) if source.suffix == LIST else [str(source)]
            tops.update({os.path.abspath(folder) for folder in
                         {os.path.dirname(path) for path in inside}})
        else:
            raise FileNotFoundError(f'no such picture: {source}')
        groups.append(inside)
    if len(sources) == 1 and sources[0].is_dir():
        return PictureFiles(groups[0], tops.pop())
    found: dict[str, str] = {}
    for path in chain.from_iterable(groups):
        found.setdefault(os.path.abspath(path), path)
    return PictureFiles(list(found.values()), os.path.commonpath(tops))


def read_list(path: Path) -> list[str]:
    """Paths of a list, blank lines left out.

    Raises:
        ValueError: There is no path in it, or it is no text.
        FileNotFoundError: None of its first files is there.
    """
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text: a list of pictures has a path on each '
                         'line, in UTF-8') from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(f'no picture in {path}: a list has a path on each line')
    for folder in ('', str(path.parent)):
        if any(os.path.isfile(os.path.join(folder, name))
               for name in names[:LOOKED_AT]):
            return [os.path.join(folder, name) for name in names]
    raise FileNotFoundError(
        f'no such picture: {names[0]} and what follows in {path}; its paths begin in '
        'the current folder or in that of the list')


def _inside(folder: str, hidden: str | None) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        here = os.path.abspath(place)
        folders[:] = [name for name in folders if not name.startswith('.')
                      and os.path.join(here, name) != hidden]
        for name in files:
            if (not name.startswith('.')
                    and os.path.splitext(name)[1].lower() in PICTURES):
                yield os.path.join(place, name)


def _parts(path: str) -> list[str]:
    """For an order that keeps a folder's pictures together."""
    return path.split(os.sep)


def _bare(name: str) -> str:
    return os.path.splitext(name)[0]
