"""Whether predictions were made with the words of the test set.

A prediction is a map of ids. Made with other words, its ids mean something else, and
its scores nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from .. import catalogue
from ..vocabulary import LABEL_SETS, Vocabulary, digest_of

SHOWN = 5  # words in a message


def clean_names(classes: Sequence[str]) -> list[str]:
    """Names of classes as a ``Vocabulary`` has them; mmseg's own have blanks."""
    return [' '.join(name.partition('|')[0].split()) for name in classes]


@lru_cache(maxsize=8)
def digest_of_classes(classes: tuple[str, ...]) -> str:
    """``Vocabulary.names_digest`` of a dataset's classes, which may repeat a name."""
    return digest_of([[name] for name in clean_names(classes)])


def check_predictions(samples: Sequence[Mapping], classes: Sequence[str],
                      seen: Vocabulary | None = None) -> None:
    """Refuse predictions that a model made with other words.

    Args:
        samples: Predictions; those of ``DCPCLIP`` carry ``names_digest``, others pass.
        classes: Names of the test set.
        seen: The words trained on, which a model keeps that nobody told of others.

    Raises:
        ValueError: Says which words differ, as far as the model's are known, and the
            remedy.
    """
    own = digest_of_classes(tuple(classes))
    for sample in samples:
        digest = sample.get('names_digest')
        if digest not in (None, own):
            path = sample.get('img_path', 'an image')
            raise ValueError(
                f'the prediction of {path} was made with other words than the test set '
                f'has: {_difference(digest, classes, seen)}. Keep default_hooks.'
                "vocabulary=dict(type='VocabularyHook') in the config, which gives the "
                'model the words of the dataset')


def _difference(digest: str, classes: Sequence[str], seen: Vocabulary | None) -> str:
    """What a model's words and a test set's do not have in common."""
    names = clean_names(classes)
    known = next((v for v in _known(seen) if v.names_digest == digest), None)
    if known is None:
        return (f'it has {len(names)} classes ({_some(names)}), and the model\'s words '
                'are not those of the metric\'s `seen` or of any label set')
    lacking = [name for name in names if name not in set(known.names)]
    left = [name for name in known.names if name not in set(names)]
    parts = [f'{len(words)} {what} ({_some(words)})' for words, what in (
        (lacking, f'of its {len(names)} classes are unknown to the model'),
        (left, f'of the {len(known)} words of the model ({known.name or known.origin}) '
         'are no class there')) if words]
    return '; '.join(parts) or 'they are the same in another order or number'


def _known(seen: Vocabulary | None) -> Iterator[Vocabulary]:
    """Words that a model may have."""
    if seen is not None:
        yield seen
    for name in (*LABEL_SETS, *catalogue.LABEL_SETS):
        yield Vocabulary.load(name)


def _some(words: Sequence[str]) -> str:
    return ', '.join(words[:SHOWN]) + (', ...' if len(words) > SHOWN else '')
