"""The page of `dcpclip app` as a Hugging Face Space, see README.md here."""

import sys

from mmseg_dcpclip.cli import main

if __name__ == '__main__':
    sys.exit(main(['app', '--host', '0.0.0.0', '--port', '7860', *sys.argv[1:]]))
