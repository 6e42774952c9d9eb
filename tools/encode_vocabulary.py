#!/usr/bin/env python
"""Encode vocabularies into the text bank on disk, before anything needs them.

    python tools/encode_vocabulary.py configs/dcpclip_vitb16_coco.py \
        --vocabulary ade20k_847 words.txt

Only the text encoder is built, with its pretrained weights or those of a checkpoint.
"""

import argparse
import warnings
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from rich.filesize import decimal
from torch import nn

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.apis.predictor import load_weights
from mmseg_dcpclip.models.clip import load_clip_weights
from mmseg_dcpclip.models.text_encoders import CLIPTextEncoder, TextBank
from mmseg_dcpclip.registry import MODELS, SCOPE


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path)
    parser.add_argument('checkpoint', nargs='?',
                        help="its weights; default: the config's pretrained ones")
    parser.add_argument('--vocabulary', nargs='+', metavar='NAME_OR_FILE',
                        help='label sets by name, or txt, csv or json files; default: '
                        "the config's own")
    parser.add_argument('--bank', metavar='FOLDER',
                        help="where to keep them; default: the config's text_bank")
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        help='changes of the config as key=value')
    return parser.parse_args()


def build_encoder(config: Config, checkpoint: str | None) -> CLIPTextEncoder:
    """The config's text encoder with weights.

    Raises:
        ValueError: The config has none, a tuned one, or one without weights.
        FileNotFoundError: There is no such checkpoint or file of weights.
    """
    options = config.get('model', {}).get('text_encoder')
    if options is None:
        raise ValueError('the config has no model.text_encoder; use one of a DCPCLIP')
    encoder = MODELS.build({'_scope_': SCOPE, **options})
    if encoder.trainable != 'none':
        raise ValueError(
            f'the config tunes its text encoder (trainable={encoder.trainable!r}) and '
            'the bank on disk is for frozen ones; once it is trained, use it and this '
            'tool with --cfg-options model.text_encoder.trainable=none')
    if checkpoint is not None:
        load_weights(nn.ModuleDict(dict(text_encoder=encoder)), checkpoint)
    elif encoder.pretrained is not None:
        encoder.load_clip(load_clip_weights(encoder.model_name, encoder.pretrained,
                                            encoder.quick_gelu_option))
    else:
        raise ValueError('the config has no model.text_encoder.pretrained: give a '
                         'checkpoint')
    return encoder


def encode(bank: TextBank, encoder: CLIPTextEncoder, vocabulary: Vocabulary) -> str:
    """Encode one vocabulary unless it is there; what there is to say about it."""
    state = 'already there' if bank.on_disk(encoder, vocabulary) else 'encoded'
    bank.get(encoder, vocabulary)
    folder = bank.folder(encoder, vocabulary)
    size = sum(file.stat().st_size for file in folder.iterdir())
    return (f'{vocabulary.name or vocabulary.origin}: {len(vocabulary)} words x '
            f'{len(encoder.templates)} templates, {decimal(size)}, {state}: '
            f'{folder}')


def main() -> None:
    args = parse_args()
    try:
        if not args.config.is_file():
            raise ValueError(f'no such config: {args.config}')
        config = Config.fromfile(args.config)
        config.merge_from_dict(args.cfg_options)
        init_default_scope('mmseg')
        encoder = build_encoder(config, args.checkpoint)
        words = args.vocabulary or [config.model.get('vocabulary') or []]
        vocabularies = [Vocabulary.of(source) for source in words]
        options = dict(config.model.get('text_bank') or {})
        if args.bank is not None:
            options['root'] = args.bank
        bank = TextBank(**options)
        if bank.root is None:
            raise ValueError('the text bank has no folder: give --bank')
        encoder.to(args.device).eval()
        with warnings.catch_warnings():
            # Encoding what cannot be kept would be in vain.
            warnings.filterwarnings('error', 'cannot keep text embeddings')
            for vocabulary in vocabularies:
                print(encode(bank, encoder, vocabulary), flush=True)
    except (ValueError, FileNotFoundError, RuntimeError, UserWarning) as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
