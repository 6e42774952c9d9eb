"""Files that appear whole or not at all."""

import json
import os
from pathlib import Path

# Ending of files that are being written.
TEMPORARY = '.tmp'


def write_atomic(path: str | Path, content: bytes) -> None:
    """Write a file through a temporary one in the same folder."""
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}{TEMPORARY}')
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: object, **options) -> None:
    """Write JSON as ``write_atomic`` does, in a folder that is made if need be.

    Args:
        path: The file.
        content: Plain types.
        **options: Of ``json.dumps``.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(content, indent=1, **options).encode('utf-8'))
