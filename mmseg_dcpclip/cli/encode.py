"""Encode vocabularies into the text bank on disk, before anything needs them.

    dcpclip encode configs/dcpclip_vitb16_coco.py --vocabulary ade20k_847 words.txt
    dcpclip encode dcpclip_mini CHECKPOINT --vocabulary words.txt --npz words.npz

Only the text encoder is built, with its pretrained weights or those of a checkpoint.
"""

import argparse
import warnings
from pathlib import Path

from ..files import check_file
from ..vocabulary import Vocabulary
from .common import (
    add_cfg_options,
    add_config,
    add_device,
    checkpoint_of,
    load_config,
    say,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``encode``."""
    add_config(parser)
    parser.add_argument('checkpoint', nargs='?', default='none',
                        help="the weights, or 'none' for CLIP's own (default)")
    parser.add_argument('--vocabulary', nargs='+', metavar='NAME_OR_FILE',
                        help='label sets by name, or txt, csv or json files; default: '
                        "the config's own")
    parser.add_argument('--bank', metavar='FOLDER',
                        help="where to keep them; default: the config's text_bank")
    parser.add_argument('--npz', type=Path, metavar='FILE',
                        help='also write them to a file, for OnnxPredictor')
    add_device(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``encode``."""
    from rich.filesize import decimal

    from ..apis.encoding import (
        build_text_encoder,
        encode_vocabulary,
        open_bank,
        write_word_file,
    )
    if args.npz is not None:
        check_file(args.npz)
    config = load_config(args.config, args.cfg_options)
    encoder = build_text_encoder(config, checkpoint_of(args.checkpoint))
    words = args.vocabulary or [config.model.get('vocabulary') or []]
    vocabularies = [Vocabulary.of(source) for source in words]
    bank = open_bank(config, args.bank)
    encoder.to(args.device).eval()
    with warnings.catch_warnings():
        # Encoding what cannot be kept would be in vain.
        warnings.filterwarnings('error', 'cannot keep text embeddings')
        try:
            for vocabulary in vocabularies:
                entry = encode_vocabulary(bank, encoder, vocabulary)
                state = 'already there' if entry.was_there else 'encoded'
                say(f'{vocabulary.name or vocabulary.origin}: {len(vocabulary)} words '
                    f'x {len(encoder.templates)} templates, {decimal(entry.nbytes)}, '
                    f'{state}: {entry.folder}')
        except UserWarning as warning:
            raise OSError(str(warning)) from warning
    if args.npz is not None:
        write_word_file(args.npz, config, bank, encoder, vocabularies)
        say(f'{args.npz}: {decimal(args.npz.stat().st_size)}')
    return 0
