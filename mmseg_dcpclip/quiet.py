"""Imports mmseg without the lines about what is not installed."""

import io
import warnings
from contextlib import redirect_stdout

STACK = ('mmengine', 'mmcv', 'mmseg', 'mmpretrain')


def import_mmseg() -> None:
    """Import mmseg's datasets and models; what is wrong with them is still raised.

    Without OneDL's own platform mmseg says so at every import, and mmcv warns of ops
    that nothing here uses.

    Raises:
        ModuleNotFoundError: A package of the stack is not installed; says how to.
    """
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.filterwarnings('ignore', 'Fail to import')
            import mmseg.datasets  # noqa: F401
            import mmseg.models  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in STACK:
            raise
        raise ModuleNotFoundError(
            f"{error.name} is not installed: pip install 'mmseg-dcpclip[onedl]', or "
            "[openmmlab] for OpenMMLab's own packages", name=error.name) from error
