"""Encode vocabularies into the text bank on disk, before anything needs them.

    dcpclip encode configs/dcpclip_vitb16_coco.py --vocabulary ade20k_847 words.txt

Only the text encoder is built, with its pretrained weights or those of a checkpoint.
"""

import argparse
import warnings
from typing import TYPE_CHECKING

from ..vocabulary import Vocabulary
from .common import (
    add_cfg_options,
    add_config,
    add_device,
    checkpoint_of,
    load_config,
    say,
)

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..models.text_encoders import CLIPTextEncoder, TextBank


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
    add_device(parser)
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``encode``."""
    config = load_config(args.config, args.cfg_options)
    encoder = _build_encoder(config, checkpoint_of(args.checkpoint))
    words = args.vocabulary or [config.model.get('vocabulary') or []]
    vocabularies = [Vocabulary.of(source) for source in words]
    bank = _open_bank(config, args.bank)
    encoder.to(args.device).eval()
    with warnings.catch_warnings():
        # Encoding what cannot be kept would be in vain.
        warnings.filterwarnings('error', 'cannot keep text embeddings')
        try:
            for vocabulary in vocabularies:
                say(_encode(bank, encoder, vocabulary))
        except UserWarning as warning:
            raise OSError(str(warning)) from warning
    return 0


def _build_encoder(config: 'Config', checkpoint: str | None) -> 'CLIPTextEncoder':
    """The config's text encoder with weights.

    Raises:
        ValueError: The config has none, a tuned one, or one without weights.
        FileNotFoundError: There is no such checkpoint or file of weights.
    """
    options = config.get('model', {}).get('text_encoder')
    if options is None:
        raise ValueError('the config has no model.text_encoder; use one of a DCPCLIP')
    from mmengine.registry import init_default_scope
    from torch import nn

    from ..apis.checkpoints import load_weights
    from ..models.clip import load_clip_weights
    from ..registry import MODELS, SCOPE
    init_default_scope(config.get('default_scope', 'mmseg'))
    encoder = MODELS.build({'_scope_': SCOPE, **options})
    if encoder.trainable != 'none':
        raise ValueError(
            f'the config tunes its text encoder (trainable={encoder.trainable!r}) and '
            'the bank on disk is for frozen ones; once it is trained, use it and this '
            'command with --cfg-options model.text_encoder.trainable=none')
    if checkpoint is not None:
        load_weights(nn.ModuleDict(dict(text_encoder=encoder)), checkpoint,
                     left_over=True)
    elif encoder.pretrained is not None:
        encoder.load_clip(load_clip_weights(encoder.model_name, encoder.pretrained,
                                            encoder.quick_gelu_option))
    else:
        raise ValueError('the config has no model.text_encoder.pretrained: give a '
                         'checkpoint')
    return encoder


def _open_bank(config: 'Config', folder: str | None) -> 'TextBank':
    """The config's text bank, or the one in a folder.

    Raises:
        ValueError: It has no folder.
    """
    from ..models.text_encoders import TextBank
    options = dict(config.model.get('text_bank') or {})
    if folder is not None:
        options['root'] = folder
    bank = TextBank(**options)
    if bank.root is None:
        raise ValueError('the text bank has no folder: give --bank')
    return bank


def _encode(bank: 'TextBank', encoder: 'CLIPTextEncoder', vocabulary: Vocabulary
            ) -> str:
    """Encode one vocabulary unless it is there; what there is to say about it."""
    from rich.filesize import decimal
    state = 'already there' if bank.on_disk(encoder, vocabulary) else 'encoded'
    bank.get(encoder, vocabulary)
    folder = bank.folder(encoder, vocabulary)
    size = sum(file.stat().st_size for file in folder.iterdir()) if folder else 0
    return (f'{vocabulary.name or vocabulary.origin}: {len(vocabulary)} words x '
            f'{len(encoder.templates)} templates, {decimal(size)}, {state}: '
            f'{folder}')
