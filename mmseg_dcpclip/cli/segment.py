"""Segment pictures with words of your own.

    dcpclip segment photo.jpg --words "cat; dog|puppy; grass"
    dcpclip segment photos --vocabulary ade20k_150 --out masks
    dcpclip segment photo.jpg --words "cat; dog" --background "0.3; sky; wall"

';' separates categories, '|' synonyms of one. For each picture a label map
(NAME_labels.png) and a drawing (NAME_overlay.png) are written as soon as it is done.
Folders are searched with all that is in them, and what is written keeps their order:
photos/monday/0.jpg becomes masks/monday/0_labels.png. Pictures that cannot be read are
named and left out; the exit status is then 1.
"""

import argparse
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import check_folder
from .common import (
    add_cfg_options,
    add_device,
    add_model,
    load_model_config,
    say,
)

if TYPE_CHECKING:
    from ..apis import PictureFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Pictures, words, model."""
    parser.add_argument('pictures', nargs='+', type=Path, metavar='picture',
                        help='files and folders')
    words = parser.add_mutually_exclusive_group()
    words.add_argument('--words', help="categories: 'cat; dog|puppy'")
    words.add_argument('--vocabulary',
                       help='a label set by name, or a txt, csv or json file')
    parser.add_argument('--background', metavar='TEXT',
                        help="what is of no category: a threshold in [0, 1], words, or "
                        "both ('0.1; sky; wall'); 'none': nothing. Default: as the "
                        'config or the label set says')
    add_model(parser)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/segment'),
                        help='folder (default: work_dirs/segment)')
    add_device(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Segment and write one picture after the other."""
    from rich.progress import track

    from ..apis.sources import find_pictures
    from ..vocabulary import Vocabulary
    words = None
    if args.words is not None:
        words = Vocabulary.parse(args.words)
    elif args.vocabulary is not None:
        words = Vocabulary.load(args.vocabulary)
    check_folder(args.out)
    files = find_pictures(args.pictures, leave_out=args.out)
    config, checkpoint = load_model_config(args.config, args.checkpoint,
                                           args.cfg_options)

    from rich.console import Console

    from ..apis import Predictor, category_name, category_shares, write_prediction
    from ..datasets.labels import needs_16_bits
    predictor = Predictor(config, checkpoint, args.device)
    vocabulary = words or predictor.vocabulary
    loaded, done = Loaded(files), 0
    args.saved = lambda: f'{done} of {len(files)} pictures are written to {args.out}'
    results = predictor.predict_stream(loaded, vocabulary, background=args.background)
    shown = len(files) > 1
    for result in track(results, 'segmenting', total=len(files),
                        console=Console(stderr=True), disable=not shown):
        file, picture = loaded.waiting.popleft()
        seg_map = result.pred_sem_seg.data[0].cpu().numpy()
        labels, overlay = write_prediction(
            args.out, file.stem, seg_map, predictor.draw(picture, result, vocabulary),
            wide=needs_16_bits(len(vocabulary), result.get('none_id')))
        done += 1
        say(f'{file.path}: {overlay}, {labels}',
            *(f'  {100 * share:5.1f}%  {category_name(category, vocabulary)}'
              for category, share in category_shares(seg_map)))
    if loaded.bad:
        raise ValueError('; '.join(loaded.bad) + f'; {args.saved()}')
    return 0


class Loaded:
    """Pictures of files, read when they are asked for; bad ones are left out.

    Args:
        files: Where they are.

    Attributes:
        waiting: Read and not yet segmented; whoever takes a result takes one off.
        bad: What is wrong with those left out.
    """

    def __init__(self, files: Sequence['PictureFile']) -> None:
        self.files = files
        self.waiting: deque[tuple[PictureFile, np.ndarray]] = deque()
        self.bad: list[str] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        from ..apis import load_image
        for file in self.files:
            try:
                picture = load_image(file.path)
            except (ValueError, OSError) as error:
                self.bad.append(str(error))
                continue
            self.waiting.append((file, picture))
            yield picture
