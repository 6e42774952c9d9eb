"""What went wrong, in one line that names the thing and the remedy."""

import errno
import re
from difflib import get_close_matches
from inspect import signature

MOST = 700  # characters of a line
REMEDIES = {
    errno.ENOSPC: 'free some space, or name another place',
    errno.EDQUOT: 'free some space, or name another place',
    errno.EACCES: 'change its permissions, or name another place',
    errno.EPERM: 'change its permissions, or name another place',
    errno.EROFS: 'name another place',
    errno.EISDIR: 'name a file',
    errno.ENOTDIR: 'it is a file: name a folder',
    errno.ENOENT: 'check the path',
}
# What a user can get wrong, or a machine. The rest may be our mistakes.
EXPECTED = (ValueError, OSError, RuntimeError, FloatingPointError, ImportError)


def explain(error: BaseException) -> str:
    """One line about an error."""
    if isinstance(error, OSError) and error.filename is not None:
        text = f'{error.filename}: {error.strerror}'
        remedy = REMEDIES.get(error.errno or 0)
        return _one_line(f'{text}; {remedy}' if remedy else text)
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return _one_line(f'{error.strerror}; {REMEDIES[error.errno]}')
    if isinstance(error, MemoryError):
        return 'out of memory: use smaller pictures or batches'
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(
        error)
    if 'Original Traceback' in text:  # of a loader's worker: what it says last
        text = text.strip().splitlines()[-1].partition(': ')[2] or text
    if 'not enough memory' in text or 'out of memory' in text:
        return _one_line(f'out of memory: use smaller pictures or batches ({text})')
    if 'PytorchStreamWriter' in text or 'file write failed' in text:
        return 'a checkpoint could not be written: is the disk full?'
    unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument "
                        r"'(\w+)'", text)
    if unknown:
        return _unknown_key(*unknown.groups())
    if isinstance(error, KeyError) and 'registry' in text:
        return _one_line(text.partition(' Please check')[0] + ' Check its spelling, '
                         'or import its module by custom_imports in the config')
    if not isinstance(error, EXPECTED):
        text = (f'{type(error).__name__}: {text} (if no word of the command or the '
                'config explains it, it is a mistake of the program; --debug shows '
                'where)')
    return _one_line(text or type(error).__name__)


def _one_line(text: str) -> str:
    line = ' '.join(text.split())
    return line if len(line) <= MOST else line[:MOST] + ' ... (--debug shows all)'


def _unknown_key(name: str, key: str) -> str:
    """About a key of a config that a component does not take."""
    from mmseg import registry
    kinds = (getattr(registry, part).get(name) for part in (
        'MODELS', 'DATASETS', 'TRANSFORMS', 'HOOKS', 'METRICS', 'LOOPS'))
    kind = next((kind for kind in kinds if kind is not None), None)
    near = get_close_matches(key, signature(kind).parameters, 1) if kind else []
    hint = f'did you mean {near[0]!r}?' if near else 'check its spelling'
    return f'{name} has no argument {key!r} (config or --cfg-options): {hint}'
