#!/usr/bin/env python
"""Segment pictures with words of your own.

    python tools/segment.py photo.jpg --words "cat; dog|puppy; grass"

';' separates categories, '|' synonyms of one. For each picture a label map
(NAME_labels.png) and a drawing (NAME_overlay.png) are written.
"""

import argparse
import io
from pathlib import Path

from mmengine.config import Config, DictAction
from PIL import Image

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis.overlay import category_shares
from mmseg_dcpclip.datasets.labels import write_atomic, write_label

ROOT = Path(__file__).resolve().parents[1]
DEMO_CONFIG = ROOT / 'configs' / 'dcpclip_mini.py'
DEMO_CHECKPOINT = ROOT / 'work_dirs' / 'demo' / 'dcpclip_mini.pth'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pictures', nargs='+', type=Path, metavar='picture')
    words = parser.add_mutually_exclusive_group()
    words.add_argument('--words', help="categories: 'cat; dog|puppy'")
    words.add_argument('--vocabulary',
                       help='a label set by name, or a txt, csv or json file')
    parser.add_argument('--config', type=Path, default=DEMO_CONFIG)
    parser.add_argument('--checkpoint',
                        help="its weights; 'none': CLIP's only. Default: those of "
                        'make demo')
    parser.add_argument('--out-dir', type=Path, default=Path('work_dirs/segment'))
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        help='changes of the config as key=value')
    return parser.parse_args()


def find_checkpoint(args: argparse.Namespace) -> str | None:
    """The checkpoint that the arguments mean, None for CLIP's weights only."""
    if args.checkpoint is not None:
        return None if args.checkpoint == 'none' else args.checkpoint
    if args.config.resolve() != DEMO_CONFIG:
        raise ValueError(f'give the weights of {args.config} with --checkpoint (or '
                         '--checkpoint none)')
    if not DEMO_CHECKPOINT.is_file():
        raise ValueError(f'{DEMO_CHECKPOINT} is not there: run make demo first, or '
                         'give --config and --checkpoint')
    return str(DEMO_CHECKPOINT)


def output_stems(pictures: list[Path]) -> list[str]:
    """One stem per picture; pictures of one name get numbers."""
    stems: list[str] = []
    for picture in pictures:
        stem, number = picture.stem, 1
        while stem in stems:
            number += 1
            stem = f'{picture.stem}-{number}'
        stems.append(stem)
    return stems


def png_bytes(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, format='PNG')
    return content.getvalue()


def main() -> None:
    args = parse_args()
    try:
        if not args.config.is_file():
            raise ValueError(f'no such config: {args.config}')
        words = None
        if args.words is not None:
            words = Vocabulary.parse(args.words)
        elif args.vocabulary is not None:
            words = Vocabulary.load(args.vocabulary)
        for picture in args.pictures:
            if not picture.is_file():
                raise ValueError(f'no such picture: {picture}')
        config = Config.fromfile(args.config)
        config.merge_from_dict(args.cfg_options)
        predictor = Predictor(config, find_checkpoint(args), args.device)
        results = predictor.predict(args.pictures, words)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        raise SystemExit(f'error: {error}') from error

    vocabulary = words or predictor.vocabulary
    args.out_dir.mkdir(parents=True, exist_ok=True)
    for picture, stem, result in zip(args.pictures, output_stems(args.pictures),
                                     results, strict=True):
        seg_map = result.pred_sem_seg.data[0].cpu().numpy()
        labels = args.out_dir / f'{stem}_labels.png'
        overlay = args.out_dir / f'{stem}_overlay.png'
        write_label(labels, seg_map, wide=len(vocabulary) > 255)
        write_atomic(overlay, png_bytes(predictor.draw(picture, result, vocabulary)))
        print(f'{picture}: {overlay}, {labels}')
        for category, share in category_shares(seg_map):
            print(f'  {100 * share:5.1f}%  {vocabulary.names[category]}')


if __name__ == '__main__':
    main()
