"""Finds the checkpoint that a training goes on from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models.weight_files import WeightFileError, read_weight_file


@dataclass
class Resumable:
    """What a work dir offers to resume.

    Attributes:
        path: The newest sound checkpoint; None: there is none.
        skipped: Those that are not sound, and why.
    """
    path: Path | None = None
    skipped: dict[Path, str] = field(default_factory=dict)


def check_resumable(checkpoint: Mapping[str, Any], path: object) -> None:
    """Refuse a checkpoint that a training cannot go on from.

    Args:
        checkpoint: Its content.
        path: For the message.

    Raises:
        WeightFileError: Names what it lacks.
    """
    meta = checkpoint.get('meta')
    missing = [key for key in ('state_dict', 'message_hub')
               if not isinstance(checkpoint.get(key), Mapping)]
    missing += [f'meta.{key}' for key in ('iter', 'epoch')
                if not isinstance(meta, Mapping) or key not in meta]
    if missing:
        raise WeightFileError(
            f'{path} cannot be resumed, it has no {", ".join(missing)}: to start from '
            'its weights set load_from to it instead')


def find_resumable(work_dir: str | Path) -> Resumable:
    """Look for the newest checkpoint that can be read and resumed.

    Those of the folder count, and of the folder of the file that ``last_checkpoint``
    names; not the best ones, which lack the optimiser. What is newest is asked of the
    checkpoints: times of files change when they are copied.

    Args:
        work_dir: Of the run.

    Raises:
        WeightFileError: There are checkpoints, and none is sound.
    """
    folders = {Path(work_dir)}
    pointer = Path(work_dir, 'last_checkpoint')
    if pointer.is_file():
        named = Path(pointer.read_text(errors='replace').strip())
        if named.is_file():  # half a path may be one, too, of a folder
            folders.add(named.parent)
    sound: list[tuple] = []
    broken: dict[Path, str] = {}
    for path in sorted({path.resolve() for folder in folders
                        for path in folder.glob('*.pth')}):
        if path.name.startswith('best_'):
            continue
        try:
            content = read_weight_file(path, mmap=True)
            check_resumable(content, path)
        except (WeightFileError, OSError) as error:
            broken[path] = str(error)
        else:
            meta = content['meta']
            sound.append((meta.get('time') or '', meta['iter'], path))
    if sound:
        return Resumable(max(sound)[-1], broken)
    if broken:
        raise WeightFileError(
            f'nothing to resume in {work_dir}: {"; ".join(broken.values())}. To start '
            'anew, remove these files or give another work dir')
    return Resumable()
