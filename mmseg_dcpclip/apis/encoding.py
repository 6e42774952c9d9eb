"""Encodes vocabularies into the text bank without building a whole model."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from ..models.clip import load_clip_weights
from ..models.protocol import CategoryNeck, check_kind
from ..models.segmentors.settings import PredictSettings
from ..models.text_encoders import CLIPTextEncoder, TextBank
from ..models.weights import digest_of_weights
from ..registry import MODELS, SCOPE
from ..vocabulary import Queries, Vocabulary, make_queries
from .checkpoints import load_weights
from .word_files import WordEmbeddings, write_words


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


def text_digest(encoder: CLIPTextEncoder) -> str:
    """Tells apart text encoders whose embeddings differ."""
    fields = json.dumps([digest_of_weights(encoder.text), encoder.templates,
                         encoder.model_name, bool(encoder.quick_gelu)])
    return hashlib.sha256(fields.encode()).hexdigest()


def word_embeddings(bank: TextBank, encoder: CLIPTextEncoder,
                    words: Vocabulary | Queries, templates: bool) -> WordEmbeddings:
    """Embeddings of words as numpy has them.

    Args:
        bank: Keeps them.
        encoder: With weights.
        words: The words.
        templates: Whether those of each template are wanted.
    """
    text = bank.get(encoder, words)
    return WordEmbeddings(
        tuple(tuple(entry) for entry in words.synonyms),
        text.mean.float().cpu().numpy(),
        text.templates.cpu().numpy() if templates else None, text_digest(encoder))


def all_queries(vocabularies: Sequence[Vocabulary], settings: PredictSettings,
                ignore_index: int) -> Queries:
    """The queries of several vocabularies, each once, with and without synonyms apart.

    Args:
        vocabularies: The words.
        settings: Of the model.
        ignore_index: Likewise.
    """
    entries: dict[tuple[str, ...], None] = {}
    for words in vocabularies:
        rule = settings.background_of(words)
        none_id = None if rule is None else rule.id_in(len(words), ignore_index)
        for kind in dict.fromkeys(('mean', settings.synonyms)):
            queries = make_queries(words, kind, rule, none_id)
            entries |= dict.fromkeys(tuple(entry) for entry in queries.synonyms)
    return Queries(tuple(entries), tuple(range(len(entries))))


def write_word_file(path: Path, config: Config, bank: TextBank,
                    encoder: CLIPTextEncoder, vocabularies: Sequence[Vocabulary]
                    ) -> None:
    """Write embeddings for ``OnnxPredictor``.

    Args:
        path: A ``.npz``.
        config: Of the model: what it asks for, and whether it needs the embeddings of
            each template.
        bank: Keeps them.
        encoder: With weights.
        vocabularies: The words.
    """
    neck = check_kind(config.model.get('neck') or dict(type='CosineNeck'), CategoryNeck,
                      'neck')
    words = all_queries(vocabularies, PredictSettings.of(config.model.get('test_cfg')),
                        config.model.get('ignore_index', 255))
    write_words(path, word_embeddings(bank, encoder, words, neck.uses_templates))
