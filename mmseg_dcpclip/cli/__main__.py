"""``python -m mmseg_dcpclip.cli``: the same as the command ``dcpclip``."""

import sys

from . import main

if __name__ == '__main__':
    sys.exit(main())
