"""Prepare the labels of Cityscapes: `dcpclip data convert cityscapes`."""

import sys

from mmseg_dcpclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['data', 'convert', 'cityscapes', *sys.argv[1:]]))
