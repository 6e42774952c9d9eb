"""Segment pictures with words of your own.

    dcpclip segment photo.jpg --words "cat; dog|puppy; grass"
    dcpclip segment photos --vocabulary ade20k_150 --out masks --summary words.csv
    dcpclip segment 'shards-{000..099}.tar' --vocabulary words.txt --out masks
    dcpclip segment photo.jpg --words "cat; dog" --background "0.3; sky; wall"

';' separates categories, '|' synonyms of one. For each picture a label map
(NAME_labels.png) and a drawing (NAME_overlay.png) are written as soon as it is done.

Folders, lists of pictures (.txt, a path on each line), tars of the WebDataset form and
videos may hold any number of pictures. Worker processes read them, drawings are made
where --overlays asks for them, and what is written keeps the order of the folders:
photos/monday/0.jpg becomes masks/monday/0_labels.png. The same command goes on where it
was ended, even by kill -9; other settings need another --out. Under torchrun or srun
each process takes a part.

Pictures that cannot be read are left out and named, in OUT/left_out.csv where there may
be many. The exit status is then 3, and 1 where nothing could be segmented.
"""

import argparse
import sys
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
    add_views,
    load_model_config,
    positive,
    say,
)

if TYPE_CHECKING:
    from ..apis import PictureFile, Predictor
    from ..vocabulary import Vocabulary

LEFT_OUT = 3  # the exit status where pictures could not be used


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Pictures, words, model."""
    parser.add_argument('pictures', nargs='+', metavar='picture',
                        help='files; folders, lists (.txt), tars or videos')
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
    add_views(parser)
    add_device(parser)
    add_cfg_options(parser)
    many = parser.add_argument_group('many pictures')
    many.add_argument('--workers', type=int, metavar='N',
                      help='processes that read pictures, 0: none (default: 2)')
    many.add_argument('--batch-size', type=positive, metavar='N',
                      help='pictures of one size that go through the network at once '
                      '(default: 8)')
    many.add_argument('--overlays', action='store_true',
                      help='draw each picture with its masks, too')
    many.add_argument('--summary', type=Path, metavar='FILE',
                      help='a table of picture, word, share, score: .csv or .parquet')


def run(args: argparse.Namespace) -> int:
    """Segment and write; 3 where pictures were left out."""
    from ..apis.bulk import Processes, is_picture, open_source
    from ..apis.sources import find_pictures
    from ..vocabulary import Vocabulary
    words = None
    if args.words is not None:
        words = Vocabulary.parse(args.words)
    elif args.vocabulary is not None:
        words = Vocabulary.load(args.vocabulary)
    check_folder(args.out)
    many = (args.workers is not None or args.batch_size or args.overlays or args.summary
            or not all(map(is_picture, args.pictures)))
    if many:
        from .segment_many import options_of, segment_many
        options = options_of(args)
        source = open_source(args.pictures, leave_out=args.out)
    else:
        files = find_pictures([Path(p) for p in args.pictures])
    config, checkpoint = load_model_config(args.config, args.checkpoint,
                                           args.cfg_options)

    from ..apis import Predictor
    device = Processes.here().device(args.device) if many else args.device
    predictor = Predictor(config, checkpoint, device, mode=args.mode, tta=args.tta)
    vocabulary = words or predictor.vocabulary
    if many:
        return segment_many(args, predictor, source, vocabulary, options)
    return _segment_named(args, predictor, files, vocabulary)


def _segment_named(args: argparse.Namespace, predictor: 'Predictor',
                   files: Sequence['PictureFile'], vocabulary: 'Vocabulary') -> int:
    """Segment and write one picture after the other."""
    from rich.console import Console
    from rich.progress import track

    from ..apis import category_name, category_shares, write_prediction
    from ..datasets.labels import needs_16_bits
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
    if not loaded.bad:
        return 0
    text = '; '.join(loaded.bad) + f'; {args.saved()}'
    if not done:
        raise ValueError(text)
    print(f'dcpclip segment: {text}', file=sys.stderr)
    return LEFT_OUT


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
