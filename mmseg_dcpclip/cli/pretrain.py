"""Train the CLIP of the small drawn world on drawn pictures and their captions."""

import argparse
from pathlib import Path

from .common import positive, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Length, seed, file."""
    parser.add_argument('--pictures', type=positive, default=240_000,
                        help='how many are drawn (default: 240000)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, required=True,
                        help='the weights, a .safetensors file')


def run(args: argparse.Namespace) -> int:
    """Pretrain."""
    from ..miniworld.pretrain import pretrain
    pretrain(args.pictures, args.out, args.seed, say=say)
    return 0
