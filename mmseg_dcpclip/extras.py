"""Packages that only some parts of this one need."""

from importlib import import_module
from typing import Any


def require(module: str, extra: str) -> Any:
    """Import a package of an extra.

    Args:
        module: Its import name.
        extra: The extra in ``setup.cfg`` that brings it.

    Raises:
        ImportError: It is not installed; says how to.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f'{module} is not installed: pip install '
                          f'"mmseg-dcpclip[{extra}]"') from error
