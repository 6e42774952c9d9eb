"""Train the CLIP of the small drawn world on drawn pictures and their captions."""

import argparse
from pathlib import Path

from ..files import check_file
from .common import add_device, positive, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Length, seed, file."""
    parser.add_argument('--pictures', type=positive, default=240_000,
                        help='how many are drawn (default: 240000)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--without-patches', action='store_true',
                        help='contrast [CLS] with captions only, as CLIP does')
    parser.add_argument('--workers', type=int, default=0, metavar='N',
                        help='processes that draw beside (default: 0)')
    add_device(parser)
    parser.add_argument('--out', type=Path, required=True,
                        help='the weights, a .safetensors file')


def run(args: argparse.Namespace) -> int:
    """Pretrain."""
    check_file(args.out)
    from ..miniworld.pretrain import pretrain
    pretrain(args.pictures, args.out, args.seed,
             with_patches=not args.without_patches, device=args.device,
             workers=args.workers, say=say)
    return 0
