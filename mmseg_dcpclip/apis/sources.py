"""Pictures on disk, and the names of what is written for them."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# as torchvision reads folders, and gif
PICTURES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff',
            '.webp')


@dataclass(frozen=True)
class PictureFile:
    """A picture that is to be read.

    Attributes:
        path: The file.
        stem: Relative path, without an ending, of what is written for it; no other
            picture has the same.
    """
    path: Path
    stem: str


def find_pictures(sources: Sequence[Path], leave_out: Path | None = None
                  ) -> list[PictureFile]:
    """List pictures given as files and folders, each once.

    Folders are searched with all that is in them; hidden files, and files without a
    picture's ending, are passed over. The names of what is written are relative to the
    one folder given, or to the deepest folder that holds all.

    Args:
        sources: Files and folders.
        leave_out: A folder that is not searched, such as that of the output.

    Raises:
        FileNotFoundError: A source does not exist.
        ValueError: A folder holds no picture.
    """
    hidden = None if leave_out is None else Path(os.path.abspath(leave_out))
    found: dict[Path, Path] = {}
    for source in sources:
        if source.is_dir():
            inside = sorted(_inside(source, hidden))
            if not inside:
                raise ValueError(f'no picture in {source}: looked for '
                                 f'{", ".join(PICTURES)}')
        elif source.is_file():
            inside = [source]
        else:
            raise FileNotFoundError(f'no such picture: {source}')
        for path in inside:
            found.setdefault(Path(os.path.abspath(path)), path)
    tops = [os.path.abspath(s if s.is_dir() else s.parent) for s in sources]
    top = os.path.commonpath(tops)
    names = [Path(os.path.relpath(path, top)) for path in found]
    return [PictureFile(path, stem)
            for path, stem in zip(found.values(), _stems(names), strict=True)]


def _inside(folder: Path, hidden: Path | None) -> Iterable[Path]:
    for place, folders, files in os.walk(folder):
        here = Path(os.path.abspath(place))
        folders[:] = [name for name in folders if not name.startswith('.')
                      and here / name != hidden]
        for name in files:
            if not name.startswith('.') and Path(name).suffix.lower() in PICTURES:
                yield Path(place) / name


def _stems(names: Sequence[Path]) -> list[str]:
    """Names without their ending; a.jpg beside a.png keep it."""
    bare = [str(name.with_suffix('')) for name in names]
    count = Counter(bare)
    stems = [stem if count[stem] == 1 else str(name)
             for stem, name in zip(bare, names, strict=True)]
    return stems if len(set(stems)) == len(stems) else [str(name) for name in names]
