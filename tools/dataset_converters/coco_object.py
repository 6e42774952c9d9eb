"""Prepare the labels of COCO-Object: `dcpclip data convert coco_object`."""

import sys

from mmseg_dcpclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['data', 'convert', 'coco_object', *sys.argv[1:]]))
