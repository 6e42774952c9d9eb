"""Keeps the embeddings of vocabularies, so that none is encoded twice."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...vocabulary import Vocabulary
from .clip_text import CLIPTextEncoder


@dataclass
class TextEmbeddings:
    """Embeddings of one vocabulary.

    Attributes:
        templates: Unit embeddings of each template, [C, P, D].
        mean: Unit embeddings averaged over the templates, [C, D].
    """
    templates: Tensor
    mean: Tensor

    @classmethod
    def from_templates(cls, templates: Tensor) -> 'TextEmbeddings':
        return cls(templates, F.normalize(templates.mean(1), dim=-1))


class TextBank:
    """The latest vocabularies' embeddings under a key of all they depend on.

    The key holds the words, the templates and the version of the weights, so that
    neither another vocabulary nor changed weights can meet an old entry.

    Args:
        capacity: Vocabularies kept; the least recently used one goes first.
    """

    def __init__(self, capacity: int = 4) -> None:
        self.capacity = capacity
        self._entries: OrderedDict[tuple, TextEmbeddings] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, encoder: CLIPTextEncoder, vocabulary: Vocabulary) -> TextEmbeddings:
        """The embeddings of a vocabulary, computed without gradient if need be."""
        key = (vocabulary.digest, encoder.templates, encoder.weights_version())
        if key not in self._entries:
            with torch.no_grad(), torch.autocast(
                    encoder.logit_scale.device.type, enabled=False):
                self._entries[key] = TextEmbeddings.from_templates(
                    encoder.encode(vocabulary))
            if len(self._entries) > self.capacity:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        return self._entries[key]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
