"""Export a model as a graph that runs without this package.

    dcpclip export dcpclip_mini CHECKPOINT OUT \\
        --cfg-options model.tag_validation=None model.refinement=None
    dcpclip export dcpclip_vitb16_frozen none OUT --vocabulary ade20k_150 words.txt
    dcpclip export dcpclip_mini_frozen none OUT --check 50 --vocabulary mini-20 mini-847

OUT gets the graph (model.onnx), what somebody who runs it has to know (model.json), and
embeddings of words (words.npz), which are an input of the graph: other words need no
other export. --check compares with PyTorch on drawn pictures.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import check_folder
from ..vocabulary import Vocabulary
from .common import (
    add_cfg_options,
    add_checkpoint,
    add_config,
    checkpoint_of,
    load_config,
    positive,
    say,
)

if TYPE_CHECKING:
    import numpy as np

    from ..apis import Predictor

FIRST_SEED = 30_000_000  # of the drawn pictures; no other set has them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, place, sizes, words."""
    add_config(parser)
    add_checkpoint(parser)
    parser.add_argument('out', type=Path, help='folder')
    parser.add_argument('--format', choices=['onnx', 'torch'], default='onnx',
                        help='ONNX, or torch.export (default: onnx)')
    parser.add_argument('--max-selected', type=positive, default=32, metavar='K',
                        help='categories per picture; of more the best stay (default: '
                        '32)')
    parser.add_argument('--size', type=positive, nargs=2, metavar=('HEIGHT', 'WIDTH'),
                        help='of what the graph gets; default: open for onnx, the '
                        "windows' for torch")
    parser.add_argument('--vocabulary', nargs='+', default=[], metavar='NAME_OR_FILE',
                        help="words for words.npz besides the config's own")
    parser.add_argument('--check', type=positive, metavar='N',
                        help='compare with PyTorch on N drawn pictures, for each '
                        'vocabulary given')
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``export``."""
    from rich.filesize import decimal
    check_folder(args.out)
    vocabularies = [Vocabulary.load(source) for source in args.vocabulary]
    if args.check and args.format != 'onnx':
        raise ValueError('--check compares what onnxruntime gives: leave it out, or '
                         'take --format onnx')
    config = load_config(args.config, args.cfg_options)

    from ..apis import Predictor, export_model
    predictor = Predictor(config, checkpoint_of(args.checkpoint))
    files = export_model(
        predictor.model, config, args.out, max_selected=args.max_selected,
        format=args.format, size=args.size, vocabularies=vocabularies)
    say(*(f'{path}: {decimal(path.stat().st_size)}' for path in files))
    if args.check:
        return _check(args, predictor, vocabularies or [predictor.vocabulary])
    return 0


def _check(args: argparse.Namespace, predictor: 'Predictor',
           vocabularies: list[Vocabulary]) -> int:
    """Compare and print; 1 where graph and model differ by more than rounding."""
    import torch

    from ..apis import OnnxPredictor
    from ..apis.export_check import compare
    other = OnnxPredictor(args.out, threads=torch.get_num_threads())
    found = [compare(predictor, other, _drawn(args.check), words)
             for words in vocabularies]
    for p in found:
        say(f'{p.words} words, {p.pictures} pictures: logits differ by {p.logits:.1e} '
            f'at most; {p.selections} pictures with another selection; {p.pixels} '
            f'pixels with another label, {p.ties} of them ties; {p.full} pictures with '
            f'{args.max_selected} or more selected; a picture takes {p.seconds:.3f} '
            f's in PyTorch and {p.onnx_seconds:.3f} s in onnxruntime')
    return 0 if all(p.holds for p in found) else 1


def _drawn(number: int) -> 'Iterator[np.ndarray]':
    """Pictures of all categories of the small drawn world."""
    import numpy as np

    from ..miniworld.draw import draw_picture
    from ..miniworld.splits import CATEGORIES
    for seed in range(FIRST_SEED, FIRST_SEED + number):
        yield draw_picture(np.random.default_rng(seed), CATEGORIES['mini-all'])[0]
