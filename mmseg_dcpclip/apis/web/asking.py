"""What a visitor gives: words, a picture and settings, read and bounded."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ... import catalogue
from ...datasets.pictures import load_image, picture_size
from ...vocabulary import LABEL_SETS, Background, Vocabulary

MAX_WORDS = 2000  # of one question, synonyms counted; ade20k_847 has 1281
MAX_SIDE = 2048  # pixels of a picture's long side that are segmented
MAX_PIXELS = 100_000_000  # of a picture that is read at all


@dataclass(frozen=True)
class Settings:
    """How a picture is segmented.

    Attributes:
        theta: Threshold of the selection (Eq. 4); None: the model's own.
        threshold: Pixels whose best probability is below it are of no category; 0: none
            are.
        background: Words of what is of no category, with ``;`` between.
        validate: Whether regions are looked at once more (Eq. 17).
        top_k: k of Eq. 17.
    """
    theta: float | None = None
    threshold: float = 0.0
    background: str = ''
    validate: bool = False
    top_k: int = 5

    def rule(self) -> Background | None:
        """What makes a pixel one of no category; None: nothing does.

        Raises:
            ValueError: A word is blank or given twice.
        """
        words = (Vocabulary.parse(self.background).synonyms
                 if self.background.strip() else ())
        if not words and not self.threshold:
            return None
        return Background(tuple(word for entry in words for word in entry),
                          float(self.threshold) or None)


@dataclass
class Picture:
    """A picture that is segmented.

    Attributes:
        pixels: RGB, uint8 [H, W, 3].
        name: Its file's name.
        note: What was done to it, or nothing.
    """
    pixels: np.ndarray
    name: str
    note: str = ''

    @property
    def stem(self) -> str:
        """str: The name without its ending."""
        return Path(self.name).stem


def label_sets() -> list[str]:
    """Names of all label sets."""
    return [*LABEL_SETS, *catalogue.LABEL_SETS]


@cache
def label_set_digests() -> frozenset[str]:
    """Digests of all label sets: words that nobody typed."""
    return frozenset(Vocabulary.load(name).words_digest for name in label_sets())


def as_typed(vocabulary: Vocabulary) -> str:
    """Words as one types them, a category on each line; ``read_words`` reads them."""
    return '\n'.join('|'.join(entry) for entry in vocabulary.synonyms)


def read_words(text: str | None, most: int = MAX_WORDS) -> Vocabulary:
    """Read typed words by the rules of ``Vocabulary.parse``.

    Args:
        text: Categories with ``;`` or line breaks between, ``|`` between synonyms.
        most: Words of one question, synonyms counted.

    Raises:
        ValueError: There are none, too many, or two that are one to CLIP.
    """
    if not (text or '').replace(';', ' ').strip():
        raise ValueError('There are no words. Type some, such as "cat; dog|puppy; '
                         'grass", or choose a label set.')
    vocabulary = Vocabulary.parse(text or '')
    count = sum(map(len, vocabulary.synonyms))
    if count > most:
        raise ValueError(f'{count:,} words are more than this page takes at once '
                         f'({most:,}). Give fewer, or use `dcpclip segment '
                         '--vocabulary words.txt`, which takes any number.')
    return vocabulary


def uploaded(value: dict | None, folder: str | Path) -> Path | None:
    """The picture that a browser sent; no other file of the server is read.

    Args:
        value: As gradio hands it over, with its ``path``.
        folder: Where uploads are kept.

    Raises:
        ValueError: It lies elsewhere.
    """
    if not value or not value.get('path'):
        return None
    path = Path(value['path']).resolve()
    if not path.is_relative_to(Path(folder).resolve()):
        raise ValueError('The picture was not uploaded here: upload it.')
    return path


def read_picture(path: str | Path | None, max_side: int = MAX_SIDE) -> Picture:
    """Read a picture as ``load_image`` does, and reduce a large one.

    Args:
        path: The file.
        max_side: The bound of its long side, in pixels.

    Raises:
        ValueError: There is none, it is no picture, or too large to be read.
    """
    if not path:
        raise ValueError('There is no picture. Upload, paste or take one, or choose an '
                         'example.')
    path = Path(path)
    try:
        rows, columns = picture_size(path)
        if rows * columns > MAX_PIXELS:
            raise ValueError(
                f'{path.name} has {rows * columns / 1e6:.0f} megapixels, more than '
                f'this page reads ({MAX_PIXELS / 1e6:.0f}). Reduce it, or use `dcpclip '
                'segment`.')
        pixels = load_image(path)
    except FileNotFoundError as error:
        raise ValueError(f'{path.name} is no longer on the server: upload it again.'
                         ) from error
    except ValueError as error:  # a visitor's file lies in a folder of the server
        raise ValueError(str(error).replace(str(path), path.name)) from error
    small = reduced(pixels, max_side)
    note = '' if small is pixels else (
        f'The picture of {columns:,} × {rows:,} pixels was reduced to '
        f'{small.shape[1]:,} × {small.shape[0]:,}; `dcpclip segment` keeps its size.')
    return Picture(small, path.name, note)


def reduced(pixels: np.ndarray, max_side: int) -> np.ndarray:
    """A picture [H, W, 3] with a long side of at most so many pixels; itself if it has.
    """
    rows, columns = pixels.shape[:2]
    if max(rows, columns) <= max_side:
        return pixels
    share = max_side / max(rows, columns)
    size = (max(1, round(columns * share)), max(1, round(rows * share)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
