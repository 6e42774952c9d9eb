#!/usr/bin/env python
"""The same as `dcpclip test`, where MMSegmentation's users look for it."""

import sys

from mmseg_dcpclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
