"""Segment pictures with words of your own.

    dcpclip segment photo.jpg --words "cat; dog|puppy; grass"

';' separates categories, '|' synonyms of one. For each picture a label map
(NAME_labels.png) and a drawing (NAME_overlay.png) are written.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from .common import (
    add_cfg_options,
    add_device,
    checkpoint_of,
    load_config,
    say,
)

DEMO_CONFIG = 'dcpclip_mini'
DEMO_CHECKPOINT = Path('work_dirs/demo/dcpclip_mini.pth')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Pictures, words, model."""
    parser.add_argument('pictures', nargs='+', type=Path, metavar='picture')
    words = parser.add_mutually_exclusive_group()
    words.add_argument('--words', help="categories: 'cat; dog|puppy'")
    words.add_argument('--vocabulary',
                       help='a label set by name, or a txt, csv or json file')
    parser.add_argument('--config', type=Path,
                        help='default: that of the small drawn world')
    parser.add_argument('--checkpoint',
                        help="its weights; 'none': CLIP's only. Default: those of "
                        '`dcpclip demo`')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/segment'),
                        help='folder (default: work_dirs/segment)')
    add_device(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Segment all pictures, then write."""
    from ..shipped import config_path
    from ..vocabulary import Vocabulary
    path = args.config or config_path(DEMO_CONFIG)
    words = None
    if args.words is not None:
        words = Vocabulary.parse(args.words)
    elif args.vocabulary is not None:
        words = Vocabulary.load(args.vocabulary)
    for picture in args.pictures:
        if not picture.is_file():
            raise FileNotFoundError(f'no such picture: {picture}')
    config = load_config(path, args.cfg_options)
    checkpoint = _checkpoint(args)

    from ..apis import Predictor, category_shares, write_prediction
    predictor = Predictor(config, checkpoint, args.device)
    results = predictor.predict(args.pictures, words)
    vocabulary = words or predictor.vocabulary
    for picture, stem, result in zip(args.pictures, output_stems(args.pictures),
                                     results, strict=True):
        drawn = predictor.draw(picture, result, vocabulary)
        seg_map = result.pred_sem_seg.data[0].cpu().numpy()
        labels, overlay = write_prediction(args.out, stem, seg_map, drawn,
                                           wide=len(vocabulary) > 255)
        say(f'{picture}: {overlay}, {labels}',
            *(f'  {100 * share:5.1f}%  {vocabulary.names[category]}'
              for category, share in category_shares(seg_map)))
    return 0


def _checkpoint(args: argparse.Namespace) -> str | None:
    """The checkpoint that the arguments mean, None for CLIP's weights only."""
    if args.checkpoint is not None:
        return checkpoint_of(args.checkpoint)
    if args.config is not None:
        raise ValueError(f'give the weights of {args.config} with --checkpoint (or '
                         '--checkpoint none)')
    if not DEMO_CHECKPOINT.is_file():
        raise ValueError(f'{DEMO_CHECKPOINT} is not there: run `dcpclip demo` first, '
                         'or give --config and --checkpoint')
    return str(DEMO_CHECKPOINT)


def output_stems(pictures: Sequence[Path]) -> list[str]:
    """One stem per picture; pictures of one name get numbers."""
    stems: list[str] = []
    for picture in pictures:
        stem, number = picture.stem, 1
        while stem in stems:
            number += 1
            stem = f'{picture.stem}-{number}'
        stems.append(stem)
    return stems
