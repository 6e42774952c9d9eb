"""Prepare the labels of COCO-Stuff 164k: `dcpclip data convert coco_stuff`."""

import sys

from mmseg_dcpclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['data', 'convert', 'coco_stuff', *sys.argv[1:]]))
