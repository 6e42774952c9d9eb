"""Files that appear whole or not at all."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

# Ending of files that are being written.
TEMPORARY = '.tmp'


@contextmanager
def atomic(path: str | Path, beside: Path | None = None) -> Iterator[Path]:
    """Write a file inside; it takes its place when all of it is on the disk.

    Args:
        path: The file.
        beside: Folder on the same disk for what is not yet whole; None: that of the
            file.

    Yields:
        Path: What to write.

    Raises:
        OSError: It cannot be written; the error names ``path``.
    """
    path = Path(path)
    # two threads may write files of one name beside each other
    own = f'.{path.name}.{get_ident()}.{os.getpid()}{TEMPORARY}'
    temporary = (beside or path.parent) / own
    try:
        yield temporary
        with temporary.open('rb') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:  # a full disk names no file
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | Path, content: bytes, beside: Path | None = None) -> None:
    """Write a file as ``atomic`` does."""
    with atomic(path, beside) as temporary:
        temporary.write_bytes(content)


def remove_leftovers(folder: str | Path, pattern: str) -> None:
    """Remove what a killed process left while it wrote.

    Args:
        folder: Where it wrote; no other process may write there now.
        pattern: Of the files' names, as in ``glob``.
    """
    for path in Path(folder).glob(f'.{pattern}.*{TEMPORARY}'):
        path.unlink(missing_ok=True)


def check_folder(path: str | Path) -> None:
    """Tell before any work whether files can be written to a folder.

    Nothing is made: of a folder that is not there, the nearest one above counts.

    Raises:
        OSError: ``path`` or something above it is a file, or may not be written to.
    """
    place = Path(os.path.abspath(path))
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    if not os.access(place, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def check_file(path: str | Path) -> None:
    """The same for a file that is to be written.

    Raises:
        OSError: ``path`` is a folder, or its folder cannot be written to.
    """
    if Path(path).is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    check_folder(Path(path).parent)


def write_json(path: str | Path, content: object, **options) -> None:
    """Write JSON as ``write_atomic`` does, in a folder that is made if need be.

    Args:
        path: The file.
        content: Plain types.
        **options: Of ``json.dumps``.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(content, indent=1, **options).encode('utf-8'))
