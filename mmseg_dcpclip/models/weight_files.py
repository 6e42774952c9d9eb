"""Reads weights from files, and runs no program that a file may hold.

Safetensors are plain numbers; what ``torch.save`` and ``torch.jit.save`` write holds
pickles, which ``unpickling`` reads. A file that needs more is refused.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from .unpickling import (
    RESTRICTED_PICKLE,
    NotAllowedError,
    open_torchscript,
    read_torchscript,
)

MapLocation = str | torch.device | Callable | None
AGAIN = 'copy or download it again, or take an earlier checkpoint'
# What is taken for weights now and then, by its first bytes.
MISTAKEN = {
    b'<': 'is a web page: download the file itself',
    b'version https://git-lfs': 'stands for a file of Git LFS: run `git lfs pull`',
}
CONVERSION = (
    'python -c "import torch; from safetensors.torch import save_file; '
    "d = torch.load('{0}', 'cpu', weights_only=False); "
    "save_file({{k: v.clone() for k, v in d.get('state_dict', d).items()}}, "
    "'{0}.safetensors')\"")


class WeightFileError(ValueError):
    """A file holds no weights, or none that can be read safely."""


def read_weight_file(path: str | Path, map_location: MapLocation = 'cpu', *,
                     mmap: bool = False) -> Mapping[str, Any]:
    """Read a checkpoint or a state dict without running anything it holds.

    Args:
        path: Safetensors, or what ``torch.save`` or ``torch.jit.save`` wrote.
        map_location: As in ``torch.load``, which alone heeds it.
        mmap: Leave the tensors in the file, to look at the rest only.

    Returns:
        Mapping: As saved; of a TorchScript archive its tensors by name.

    Raises:
        FileNotFoundError: There is no such file.
        WeightFileError: It is damaged, holds no weights, or needs to run a program.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise WeightFileError(f'{path} is a folder: give one of its files')
    if not path.is_file():
        raise FileNotFoundError(f'no such checkpoint: {path}')
    with path.open('rb') as file:
        head = file.read(64)
    try:
        content = _read(path, head, map_location, mmap)
    except (WeightFileError, OSError):
        raise
    except NotAllowedError as error:
        raise WeightFileError(
            f'{path} needs {error.name}, which could run a program, and is not loaded. '
            'Take weights in safetensors. This makes them, and runs what the file '
            'holds, so do it where that can do no harm, as in a container without '
            f'network: {CONVERSION.format(path)}') from error
    except Exception as error:  # torch raises many kinds on damaged files
        reason = ' '.join(str(error).split())[:100]
        raise WeightFileError(f'{path} is damaged or cut short '
                              f'({type(error).__name__}: {reason}): {AGAIN}') from error
    if not isinstance(content, Mapping):
        raise WeightFileError(
            f'{path} holds a {type(content).__name__} and no weights: give a state '
            'dict, or a checkpoint with one')
    return content


def _read(path: Path, head: bytes, map_location: MapLocation, mmap: bool) -> Any:
    if head[:2] == b'PK':
        archive = open_torchscript(path)
        if archive is not None:
            return read_torchscript(archive)
    elif head[8:9] == b'{':
        return load_file(path)
    elif head[:1] == b'\x80':
        mmap = False  # the form before torch 1.6
    elif not head:
        raise WeightFileError(f'{path} is empty: {AGAIN}')
    else:
        what = next((what for start, what in MISTAKEN.items()
                     if head.lstrip().startswith(start)),
                    'holds no weights: give safetensors, or what torch.save wrote')
        raise WeightFileError(f'{path} {what}')
    # as text: torch 2.1 maps no other kind of path
    return torch.load(str(path), map_location=map_location, mmap=mmap,
                      weights_only=False, pickle_module=RESTRICTED_PICKLE)
