"""Vocabularies: ordered lists of categories given by words."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from .. import catalogue
from .background import Background
from .class_files import read_class_file
from .concepts import concept_keys
from .entries import Entry, digest_of, read_entries
from .label_sets import LABEL_SETS, read_label_set
from .palette import check_palette

# By id: of two equal ones, either may go first.
_ALIVE: 'WeakValueDictionary[int, Vocabulary]' = WeakValueDictionary()


def match_names(names: Sequence[str], known: Sequence[str],
                match: str = 'name') -> np.ndarray:
    """Tell which names occur among the known ones.

    Args:
        names: The names asked about.
        known: The names trained on.
        match: 'name': equal in lower case. 'concept': they share a key of
            ``concept_keys``.

    Returns:
        np.ndarray: bool [len(names)].

    Raises:
        ValueError: ``match`` is neither of the two.
    """
    if match not in ('name', 'concept'):
        raise ValueError(f"match must be 'name' or 'concept', got {match!r}")

    def keys_of(name: str) -> set[str]:
        return {name.lower()} if match == 'name' else concept_keys(name)

    known_keys = set().union(*(keys_of(name) for name in known))
    return np.array([bool(keys_of(name) & known_keys) for name in names])


class Vocabulary:
    """An ordered, immutable list of categories.

    Two vocabularies are equal when they hold the same synonyms in the same
    order and the same background; palette, name and origin do not count.

    Args:
        entries: One entry per category: a string in which '|' separates synonyms, or
            a sequence of synonyms. Blanks around a synonym are removed, repeated
            blanks inside become one.
        palette: One [r, g, b] in 0..255 per category. None: ``make_palette``.
        name: A short name for tables.
        origin: Where the words come from, for reports.
        background: What is of no category among these words, as ``Background.of`` takes
            it; models go by it unless they are told otherwise.

    Attributes:
        names: The first synonym of each category. It need not be unique (ADE20K-847
            has three kinds of 'bag').
        synonyms: All synonyms of each category.
        palette: One colour [r, g, b] per category.
        name: As given.
        origin: As given.
        background: The rule, or None.
        digest: SHA-256 (hex) over the synonyms in order, and the background if there
            is one.

    Raises:
        ValueError: The list is empty, or an entry is blank, not a string, or equal to
            an earlier one as CLIP reads them: upper and lower case, blanks and the
            order of synonyms make no difference there, so that only one of the two
            could ever be predicted. Or the background is refused.
        TypeError: The entries are no list: a dict, a set, a number.
    """

    def __init__(self,
                 entries: Iterable[Entry],
                 palette: Sequence[Sequence[int]] | None = None,
                 name: str | None = None,
                 origin: str = 'a list in memory',
                 background: Any = None) -> None:
        if isinstance(entries, str):
            raise ValueError(
                f'a vocabulary needs a list of names, got the string {entries!r}; '
                'use Vocabulary.parse to split a string')
        if (isinstance(entries, (Mapping, set, frozenset, bytes))
                or not isinstance(entries, Iterable)):
            raise TypeError(
                f'words are a list of names, got {_described(entries)}; give '
                "['cat', 'dog|puppy']: the place in the list is a category's id")
        self.synonyms = read_entries(entries, origin)
        if not self.synonyms:
            raise ValueError(f'empty vocabulary ({origin}): give at least one name')
        self.names = tuple(entry[0] for entry in self.synonyms)
        self.palette = check_palette(palette, len(self.synonyms))
        self.name = name
        self.origin = origin
        self.background = Background.of(background)
        if self.background is not None:
            self.background.check_id(len(self.synonyms))
        self.digest = digest_of(self.synonyms, self.background)
        _ALIVE[id(self)] = self

    @staticmethod
    def alive(digest: str) -> 'Vocabulary | None':
        """The vocabulary of a digest, if one is in use in this process.

        A picture of a dataset carries the digest of its words; the dataset holds the
        words themselves.
        """
        return next((words for words in list(_ALIVE.values())
                     if words.digest == digest), None)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return (f'Vocabulary({self.name or "unnamed"}: {len(self)} categories, '
                f'{self.digest[:8]}, from {self.origin})')

    @property
    def metainfo(self) -> dict:
        """Classes and palette, as mmseg's datasets want them."""
        return dict(
            classes=self.names, palette=[list(color) for color in self.palette])

    @cached_property
    def words_digest(self) -> str:
        """str: ``digest_of`` the synonyms alone, the key of their embeddings."""
        return digest_of(self.synonyms)

    @cached_property
    def names_digest(self) -> str:
        """str: ``digest_of`` the names alone, which is all that a metric knows."""
        return digest_of([[name] for name in self.names])

    def seen(self, other: 'Vocabulary', match: str = 'name') -> np.ndarray:
        """Tell which categories also occur in another vocabulary.

        Args:
            other: The vocabulary trained on.
            match: 'name' or 'concept', see ``match_names``.

        Returns:
            np.ndarray: bool [len(self)].
        """
        return match_names(self.names, other.names, match)

    @classmethod
    def of(cls, words: 'Vocabulary | str | Path | Iterable[Entry]') -> 'Vocabulary':
        """Make a vocabulary from what stands for one.

        Args:
            words: A vocabulary (returned as it is), a name or path for ``load``,
                or a list of entries.

        Returns:
            Vocabulary: See ``load`` and the class for what is refused.
        """
        if isinstance(words, Vocabulary):
            return words
        return cls.load(words) if isinstance(words, (str, Path)) else cls(words)

    @classmethod
    def parse(cls, text: str, name: str | None = None) -> 'Vocabulary':
        """Make a vocabulary from one string, as typed on a command line.

        Args:
            text: Entries separated by ';' or line breaks, synonyms by '|'. Blank
                entries between separators are skipped.
            name: A short name.

        Returns:
            Vocabulary: The categories in the order given.
        """
        entries = [part for part in re.split(r'[;\n]', text) if part.strip()]
        return cls(entries, name=name, origin='the command line')

    @classmethod
    def load(cls, source: str | Path, names: str = 'default') -> 'Vocabulary':
        """Load a label set of the package, or read a file.

        Args:
            source: A name in ``LABEL_SETS``, another set of the catalogue
                ('mini-847'), or a .txt, .csv or .json file as
                ``read_class_file`` reads it.
            names: Wording of a package label set: 'default', 'spaced'
                ('air conditioner' for 'airconditioner'), 'detectron2' (ade20k_150)
                or 'mmseg' (pascal_context_59).

        Returns:
            Vocabulary: The categories in train-id order.

        Raises:
            ValueError: The source is unknown, or its content is not usable.
            FileNotFoundError: A file is named that does not exist.
        """
        if str(source) in LABEL_SETS:
            label_set = read_label_set(str(source))
            # Sets without a 'spaced' wording are written with blanks already.
            wordings = dict(default={}, spaced={}) | label_set['variants']
            if names not in wordings:
                raise ValueError(f'{source} has no wording {names!r}; choose one '
                                 f'of {", ".join(wordings)}')
            entries = [wordings[names].get(i, entry)
                       for i, entry in enumerate(label_set['entries'])]
            return cls(entries, name=str(source), origin=label_set['title'],
                       background=label_set['background'])
        if str(source) in catalogue.LABEL_SETS:
            return cls(catalogue.LABEL_SETS[str(source)](), name=str(source),
                       origin=f'the label set {source}')
        if names != 'default':
            raise ValueError(
                f'names={names!r} is a wording of the package label sets only, '
                f'not of {str(source)!r}; write the file with the wanted names')
        if not Path(source).suffix:
            raise ValueError(
                f'{str(source)!r} is neither a label set of the package '
                f'({", ".join([*LABEL_SETS, *catalogue.LABEL_SETS])}) nor a .txt, '
                ".csv or .json file; words themselves are given as a list, ['cat', "
                "'dog'], or in a shell with --words")
        content = read_class_file(source)
        try:
            return cls(**content, origin=str(source))
        except ValueError as error:
            raise ValueError(f'{source}: {error}') from error


def _described(value: object) -> str:
    """Kind and, cut short, the value of what is no list of words."""
    text = repr(value)
    return f'the {type(value).__name__} {text if len(text) < 50 else text[:50] + "..."}'


Words = Vocabulary | str | Path | Sequence[Entry]  # what ``Vocabulary.of`` takes
