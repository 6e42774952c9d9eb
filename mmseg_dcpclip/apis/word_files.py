"""Embeddings of words in files that numpy alone reads."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..files import write_atomic
from ..vocabulary.entries import as_clip_reads

Entries = Sequence[Sequence[str]]


@dataclass(frozen=True)
class WordEmbeddings:
    """What a model makes of words.

    Attributes:
        entries: The synonyms of each of C categories.
        mean: Unit embeddings averaged over the templates, float32 [C, D].
        templates: Unit embeddings of each template, [C, P, D], or None where the model
            needs no more than their mean.
        text: Tells the text encoder that they are of.
    """
    entries: tuple[tuple[str, ...], ...]
    mean: np.ndarray
    templates: np.ndarray | None
    text: str

    @cached_property
    def first(self) -> np.ndarray:
        """For each category the first with the same embedding, int64 [C]."""
        rows = np.ascontiguousarray(self.mean)
        rows = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))
        _, first, back = np.unique(rows[:, 0], return_index=True, return_inverse=True)
        return first[back].astype(np.int64)


def write_words(path: Path, words: WordEmbeddings) -> None:
    """Write a ``.npz``; it appears whole or not at all."""
    content, arrays = io.BytesIO(), dict(mean=words.mean)
    if words.templates is not None:
        arrays['templates'] = words.templates
    about = json.dumps(dict(entries=words.entries, text=words.text))
    np.savez(content, about=np.array(about), **arrays)  # type: ignore[arg-type]
    write_atomic(path, content.getvalue())


def read_words(path: Path) -> WordEmbeddings:
    """Read what ``write_words`` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no such file of words: {path}')
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file['about']))
            return WordEmbeddings(
                tuple(tuple(entry) for entry in about['entries']), file['mean'],
                file['templates'] if 'templates' in file else None, about['text'])
    except (BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        raise ValueError(f'{path} holds no embeddings of words: write it with `dcpclip '
                         'encode CONFIG CHECKPOINT --npz FILE`') from error


class WordTable:
    """Looks words up in files.

    Args:
        files: What was read.
        text: The text encoder that they must be of.
        encode: Makes embeddings of entries that are in no file. None: they are refused.

    Raises:
        ValueError: A file belongs to another text encoder.
    """

    def __init__(self, files: dict[Path, WordEmbeddings], text: str,
                 encode: Callable[[Entries], WordEmbeddings] | None = None) -> None:
        self.files = list(files.values())
        self.text = text
        self.encode = encode
        for path, words in files.items():
            self._check(words, str(path))
        self._places = {
            as_clip_reads(entry): (number, row)
            for number, words in enumerate(self.files)
            for row, entry in enumerate(words.entries)}

    def _check(self, words: WordEmbeddings, origin: str) -> None:
        if words.text != self.text:
            raise ValueError(f'{origin} holds embeddings of another text encoder than '
                             "the model's: write it again with the model's config and "
                             'checkpoint')

    def find(self, entries: Entries) -> WordEmbeddings:
        """The embeddings of categories, in their order.

        Raises:
            ValueError: A category is in no file, and nothing can encode it.
        """
        missing = [tuple(entry) for entry in entries
                   if as_clip_reads(entry) not in self._places]
        if missing:
            if self.encode is None:
                named = '; '.join('|'.join(entry) for entry in missing[:5])
                raise ValueError(
                    f'{len(missing)} of {len(entries)} categories are in no file of '
                    f'words ({named}): write one with `dcpclip encode CONFIG '
                    'CHECKPOINT --vocabulary ... --npz FILE` and give it as words=, or '
                    'give config and checkpoint where PyTorch is installed')
            new = self.encode(missing)
            self._check(new, 'the checkpoint')
            self._places |= {as_clip_reads(entry): (len(self.files), row)
                             for row, entry in enumerate(new.entries)}
            self.files.append(new)
        places = [self._places[as_clip_reads(entry)] for entry in entries]
        templates = [self._row(self.files[file].templates, row) for file, row in places]
        whole = all(row is not None for row in templates)
        return WordEmbeddings(
            tuple(tuple(entry) for entry in entries),
            np.stack([self.files[file].mean[row] for file, row in places]),
            np.stack(templates) if whole else None, self.text)  # type: ignore[arg-type]

    @staticmethod
    def _row(array: np.ndarray | None, row: int) -> np.ndarray | None:
        return None if array is None else array[row]
