"""Encodes vocabularies into the text bank without building a whole model."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from ..models.clip import load_clip_weights
from ..models.text_encoders import CLIPTextEncoder, TextBank
from ..registry import MODELS, SCOPE
from ..vocabulary import Vocabulary
from .checkpoints import load_weights


@dataclass
class EncodedVocabulary:
    """An entry of the text bank on disk.

    Attributes:
        folder: Where it is.
        nbytes: Its size in bytes.
        was_there: Whether nothing had to be encoded.
    """
    folder: Path
    nbytes: int
    was_there: bool


def build_text_encoder(config: Config, checkpoint: str | None = None
                       ) -> CLIPTextEncoder:
    """The text encoder of a config with weights.

    Args:
        config: Of a DCPCLIP.
        checkpoint: Weights of the whole model; None: the pretrained ones.

    Raises:
        ValueError: The config has none, a tuned one, or one without weights.
        FileNotFoundError: There is no such checkpoint or file of weights.
    """
    options = config.get('model', {}).get('text_encoder')
    if options is None:
        raise ValueError('the config has no model.text_encoder; use one of a DCPCLIP')
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


def open_bank(config: Config, folder: str | None = None) -> TextBank:
    """The text bank of a config, or the one in a folder.

    Raises:
        ValueError: It has no folder.
    """
    options = dict(config.model.get('text_bank') or {})
    if folder is not None:
        options['root'] = folder
    bank = TextBank(**options)
    if bank.root is None:
        raise ValueError('the text bank has no folder: give --bank')
    return bank


def encode_vocabulary(bank: TextBank, encoder: CLIPTextEncoder, vocabulary: Vocabulary
                      ) -> EncodedVocabulary:
    """Encode one vocabulary unless it is there.

    Args:
        bank: With a folder.
        encoder: With weights, frozen.
        vocabulary: The words.
    """
    was_there = bank.on_disk(encoder, vocabulary)
    bank.get(encoder, vocabulary)
    folder = bank.folder(encoder, vocabulary)
    assert folder is not None, 'the bank has a folder and the encoder is frozen'
    return EncodedVocabulary(folder, sum(f.stat().st_size for f in folder.iterdir()),
                             was_there)
