"""Optional packages, and the extra that brings each."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: Its name.
        extra: The extra of this package that installs it.

    Raises:
        ModuleNotFoundError: It is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition('.')[0]:
            raise
        raise ModuleNotFoundError(
            f'{error.name} is not installed: pip install "mmseg-dcpclip[{extra}]"',
            name=error.name) from error
