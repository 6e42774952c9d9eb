"""Entries of lists of words: how they are read, checked and told apart."""

import hashlib
import unicodedata
import warnings
from collections.abc import Iterable, Sequence

Entry = str | Sequence[str]


def digest_of(synonyms: Sequence[Sequence[str]], rule: object = None) -> str:
    """SHA-256 (hex) over the synonyms of all categories in order, and over a rule."""
    # '|' and line breaks cannot occur inside a synonym.
    text = '\n'.join('|'.join(entry) for entry in synonyms)
    if rule is not None:
        text += f'\n\n{rule!r}'
    return hashlib.sha256(text.encode('utf-8')).hexdigest()


def read_entries(entries: Iterable[Entry], origin: str) -> tuple[tuple[str, ...], ...]:
    """The synonyms of each entry.

    Args:
        entries: One per category: a string in which '|' separates synonyms, or a
            sequence of synonyms.
        origin: Where they come from, for errors.

    Raises:
        ValueError: An entry is blank, not a string, or equal to an earlier one as CLIP
            reads them.
    """
    synonyms = tuple(_split_entry(entry, position)
                     for position, entry in enumerate(entries))
    first_seen: dict[frozenset, int] = {}
    for position, entry in enumerate(synonyms):
        first = first_seen.setdefault(as_clip_reads(entry), position)
        if first != position:
            raise ValueError(_repeated(synonyms, first, position, origin))
    if len(synonyms) == 1 and ',' in synonyms[0][0]:
        warnings.warn(
            f'{synonyms[0][0]!r} ({origin}) is one category: a comma may be part of a '
            "name. Separate categories with ';' or give a list", stacklevel=3)
    return synonyms


def as_clip_reads(synonyms: Sequence[str]) -> frozenset[str]:
    """What CLIP makes of a category: its tokeniser knows no case, its mean no order."""
    return frozenset(unicodedata.normalize('NFC', s).lower() for s in synonyms)


def _repeated(synonyms: Sequence[tuple[str, ...]], first: int, second: int, origin: str
              ) -> str:
    """What to say of two entries that are one to CLIP."""
    before, after = ('|'.join(synonyms[i]) for i in (first, second))
    if before == after:
        return (f'entry {second} repeats entry {first}: {after!r} ({origin}); remove '
                'one of them')
    return (f'entry {second}, {after!r}, is the same to CLIP as entry {first}, '
            f'{before!r} ({origin}): case and order do not count, so only one of them '
            'could be predicted; remove one, or tell them apart by a word')


def _split_entry(entry: Entry, position: int) -> tuple[str, ...]:
    """Split one entry into clean synonyms and refuse what is no name."""
    synonyms = entry.split('|') if isinstance(entry, str) else entry
    if not isinstance(synonyms, list | tuple) or not all(
            isinstance(synonym, str) for synonym in synonyms):
        raise ValueError(
            f'entry {position} is {entry!r}; a category is a string or a list '
            'of synonyms')
    if any('|' in synonym for synonym in synonyms):
        raise ValueError(
            f"entry {position} is {entry!r}; '|' separates synonyms and cannot "
            'stand inside one')
    clean = tuple(' '.join(synonym.split()) for synonym in synonyms)
    if not clean or not all(clean):
        raise ValueError(
            f'entry {position} is {entry!r}; it holds a blank name: write the '
            'name or remove the entry')
    if len(as_clip_reads(clean)) < len(clean):
        raise ValueError(
            f'entry {position} is {entry!r}; it repeats a synonym (case does not '
            'count): remove one')
    return clean
