"""What is asked of a picture: words of categories and of what is none of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .background import Background
from .entries import digest_of
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Queries:
    """Everything that is embedded and selected; a text bank keeps it as a vocabulary.

    Attributes:
        synonyms: Words of each query; their embeddings are averaged.
        owner: The id that each query's pixels get, ascending but for the none class.
    """
    synonyms: tuple[tuple[str, ...], ...]
    owner: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.synonyms)

    @cached_property
    def words_digest(self) -> str:
        """str: ``digest_of`` the words, the key of their embeddings."""
        return digest_of(self.synonyms)

    @cached_property
    def owners(self) -> np.ndarray:
        """np.ndarray: ``owner``, int64 [Q]."""
        return np.array(self.owner, dtype=np.int64)


@lru_cache(maxsize=8)
def make_queries(vocabulary: Vocabulary, synonyms: str = 'mean',
                 background: Background | None = None,
                 none_id: int | None = None) -> Vocabulary | Queries:
    """The queries of a vocabulary.

    Args:
        vocabulary: The categories.
        synonyms: ``'mean'``: a category is one query, the mean of its synonyms'
            embeddings. ``'max'``: every synonym is a query, and a category has the
            largest of their probabilities.
        background: What is of no category.
        none_id: Its id.

    Returns:
        Vocabulary | Queries: The vocabulary itself where each category is one query
        and nothing is asked besides.

    Raises:
        ValueError: All background words are words of categories, and there is no
            threshold.
    """
    words = background.words if background is not None else ()
    several = synonyms == 'max' and any(len(e) > 1 for e in vocabulary.synonyms)
    if not words and not several:
        return vocabulary
    entries: list[tuple[tuple[str, ...], int]] = []
    known: set[str] = set()
    for i, entry in enumerate(vocabulary.synonyms):
        if words and i == none_id:
            continue
        known |= {word.lower() for word in entry}
        own: Sequence[tuple[str, ...]] = (
            [(word, ) for word in entry] if synonyms == 'max' else [entry])
        entries += [(query, i) for query in own]
    left = [word for word in words if word.lower() not in known]
    if words and not left and background is not None and background.threshold is None:
        raise ValueError('all background words are also categories '
                         f'({", ".join(words[:5])}): give others, or a threshold')
    if left:
        assert none_id is not None
        entries += [((word, ), none_id) for word in left]
    return Queries(tuple(e for e, _ in entries), tuple(i for _, i in entries))
