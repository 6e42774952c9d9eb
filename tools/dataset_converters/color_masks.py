"""Prepare labels from masks in colours: `dcpclip data convert color_masks`."""

import sys

from mmseg_dcpclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['data', 'convert', 'color_masks', *sys.argv[1:]]))
