"""Unpickles weights, and calls nothing that is not on a list.

torch's ``weights_only=True`` does the same on new versions; before 2.6 it can be got
round (CVE-2025-32434), and before 2.5 it takes no list of one's own, without which
mmengine's checkpoints cannot be read. This one is the same on every version.
"""

import io
import pickle
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor


class NotAllowedError(Exception):
    """A pickle asks for more than weights need.

    Args:
        name: What it asks for, as ``module.name``.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _encode(text: str, encoding: str) -> bytes:
    """Bytes of a numpy array, which old protocols keep as text."""
    if encoding != 'latin1':
        raise NotAllowedError(f'the encoding {encoding}')
    return text.encode('latin1')


def _statistic(owner: type, name: str) -> Callable:
    """A statistic of a ``HistoryBuffer``, which is pickled as its attribute."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise NotAllowedError(f'getattr({owner!r}, {name!r})')
    return getattr(HistoryBuffer, name)


# What numpy pickles an array and a scalar as, wherever this version keeps it.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]

# What mmengine's and most other checkpoints hold besides weights: logs, seeds, texts.
# None of it runs a program, opens a file or looks up a name.
ALLOWED: dict[str, Any] = {
    'collections.Counter': Counter,
    'collections.OrderedDict': OrderedDict,
    'collections.defaultdict': defaultdict,
    '_codecs.encode': _encode,
    'builtins.getattr': _statistic,
    **{f'builtins.{kind.__name__}': kind for kind in (
        bool, bytearray, complex, dict, float, frozenset, int, list, set, slice, str,
        tuple)},
    'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
    'numpy.dtype': np.dtype,
    'numpy.ndarray': np.ndarray,
    # numpy 1 and 2
    **{f'numpy.{core}.multiarray.{name}': made for core in ('core', '_core')
       for name, made in (('_reconstruct', _RECONSTRUCT), ('scalar', _SCALAR))},
    'torch.Size': torch.Size,
    'torch.device': torch.device,
    'torch.nn.parameter.Parameter': torch.nn.Parameter,
    **{f'torch._utils.{name}': getattr(torch._utils, name) for name in (
        '_rebuild_parameter', '_rebuild_tensor', '_rebuild_tensor_v2')},
    **{f'torch.{name}': kind for name, kind in vars(torch).items()
       if isinstance(kind, torch.dtype)},
}
# What may be filled by pickle's BUILD, which sets attributes.
FILLED = (Counter, OrderedDict, HistoryBuffer, np.ndarray, np.dtype, Tensor)
OLD_MODULES = {'__builtin__': 'builtins'}  # of Python 2, which protocol 2 writes


# Python's own one, not C's: there a single opcode can be held back.
_Unpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]


class RestrictedUnpickler(_Unpickler):
    """Python's unpickler, where names come from ``ALLOWED`` only."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for.

        Raises:
            NotAllowedError: It is not on the list.
        """
        full = f'{OLD_MODULES.get(module, module)}.{name}'
        if full not in ALLOWED:
            raise NotAllowedError(full)
        return ALLOWED[full]

    def load_build(self) -> None:
        """Fill an object, and neither a class nor a function.

        Raises:
            NotAllowedError: It is something else.
        """
        if not isinstance(self.stack[-2], self.filled):
            raise NotAllowedError(f'attributes of {self.stack[-2]!r:.60}')
        super().load_build()

    filled: tuple = FILLED
    dispatch = {**_Unpickler.dispatch, pickle.BUILD[0]: load_build}


def _load(file: Any, **options: Any) -> Any:
    return RestrictedUnpickler(file, **options).load()


# What torch.load takes for a pickle module.
RESTRICTED_PICKLE = SimpleNamespace(
    __name__='restricted_pickle', Unpickler=RestrictedUnpickler, load=_load)


STORAGES = dict(
    BFloat16Storage=torch.bfloat16, BoolStorage=torch.bool, ByteStorage=torch.uint8,
    CharStorage=torch.int8, DoubleStorage=torch.float64, FloatStorage=torch.float32,
    HalfStorage=torch.float16, IntStorage=torch.int32, LongStorage=torch.int64,
    ShortStorage=torch.int16)


class _Module:
    """Stands for a module of a TorchScript archive: its attributes, no program."""


class _ArchiveUnpickler(RestrictedUnpickler):
    """Reads the tree of modules of a TorchScript archive.

    Args:
        archive: torch's reader of the archive.
    """
    filled = (_Module, )

    def __init__(self, archive: Any) -> None:
        super().__init__(io.BytesIO(archive.get_record('data.pkl')), encoding='utf-8')
        self.archive = archive

    def find_class(self, module: str, name: str) -> Any:
        """See ``RestrictedUnpickler``."""
        if module.split('.')[0] == '__torch__':
            return _Module
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return _strided
        if module == 'torch.jit._pickle':
            return _untyped
        if module == 'torch' and name in STORAGES:
            return STORAGES[name]
        return super().find_class(module, name)

    def persistent_load(self, key: tuple) -> Tensor:
        """The numbers of a tensor, in one row."""
        _, dtype, name, _, _ = key
        content = self.archive.get_record(f'data/{name}')
        return (torch.frombuffer(bytearray(content), dtype=dtype) if content
                else torch.empty(0, dtype=dtype))


def _strided(row: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    return row.as_strided(size, stride, offset)


def _untyped(data: Any, *_: Any) -> Any:
    """A list or a dict, which TorchScript pickles with the type of its elements."""
    return data


def open_torchscript(path: Path) -> Any:
    """torch's reader of a TorchScript archive; None for other zip files.

    It is asked as ``torch.load`` asks, which runs ``torch.jit.load`` on such files.
    """
    archive = torch._C.PyTorchFileReader(str(path))
    return archive if 'constants.pkl' in archive.get_all_records() else None


def read_torchscript(archive: Any) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive, whose program is not even looked at.

    Args:
        archive: As ``open_torchscript`` returns it.

    Returns:
        dict: Parameters and buffers by their names, and tensors that are plain
        attributes.

    Raises:
        NotAllowedError: It holds other things than modules and plain values.
    """
    return _flatten(_ArchiveUnpickler(archive).load())


def _flatten(module: Any, prefix: str = '') -> dict[str, Tensor]:
    state = {}
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            state[prefix + name] = value
        elif isinstance(value, _Module):
            state |= _flatten(value, f'{prefix}{name}.')
    return state
