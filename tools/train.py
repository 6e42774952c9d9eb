#!/usr/bin/env python
"""The same as `dcpclip train`, where MMSegmentation's users look for it."""

import sys

from mmseg_dcpclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
