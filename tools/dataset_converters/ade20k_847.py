"""Prepare ADE20K-847 from the full ADE20K: `dcpclip data convert ade20k_847`."""

import sys

from mmseg_dcpclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['data', 'convert', 'ade20k_847', *sys.argv[1:]]))
