"""Prepare Pascal Context: `dcpclip data convert pascal_context`."""

import sys

from mmseg_dcpclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['data', 'convert', 'pascal_context', *sys.argv[1:]]))
