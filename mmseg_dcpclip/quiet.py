"""Imports mmseg without the lines about what is not installed."""

import io
import warnings
from contextlib import redirect_stdout


def import_mmseg() -> None:
    """Import mmseg's datasets and models; what is wrong with them is still raised.

    Without OneDL's own platform mmseg says so at every import, and mmcv warns of ops
    that nothing here uses.
    """
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.filterwarnings('ignore', 'Fail to import')
        import mmseg.datasets  # noqa: F401
        import mmseg.models  # noqa: F401
