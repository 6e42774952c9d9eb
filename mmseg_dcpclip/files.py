"""Files that appear whole or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Ending of files that are being written.
TEMPORARY = '.tmp'


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Write a file inside; it takes its place when all of it is on the disk.

    Args:
        path: The file.

    Yields:
        Path: What to write, in the same folder.
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}{TEMPORARY}')
    try:
        yield temporary
        with temporary.open('rb') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | Path, content: bytes) -> None:
    """Write a file through a temporary one in the same folder."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def remove_leftovers(folder: str | Path, pattern: str) -> None:
    """Remove what a killed process left while it wrote.

    Args:
        folder: Where it wrote; no other process may write there now.
        pattern: Of the files' names, as in ``glob``.
    """
    for path in Path(folder).glob(f'.{pattern}.*{TEMPORARY}'):
        path.unlink(missing_ok=True)


def write_json(path: str | Path, content: object, **options) -> None:
    """Write JSON as ``write_atomic`` does, in a folder that is made if need be.

    Args:
        path: The file.
        content: Plain types.
        **options: Of ``json.dumps``.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(content, indent=1, **options).encode('utf-8'))
