"""What is shown for a result, and what can be taken home."""

import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from ...datasets.labels import needs_16_bits
from ...vocabulary import Vocabulary
from ..overlay import category_name, category_shares, draw_overlay
from ..writing import write_prediction
from .asking import Picture, reduced

SHOWN_SIDE = 800  # pixels of the long side on the page
MOST_MASKS = 30  # that are shown; the rest of the words is in the table
MOST_ROWS = 100  # of the table, unless more words are found


@dataclass
class Answer:
    """A segmented picture.

    Attributes:
        picture: The picture.
        seg_map: Ids of ``words``, integer [H, W].
        words: The categories.
        none_id: The id of pixels of no category; None where there are none.
        selected: Ids of the selected categories.
        seconds: For the picture.
        word_seconds: For the words.
        maps: Probabilities of categories that are shown, float16 [h, w], by id. One
            that only a second look brought in has none.
        shares: Ids in the map with their share of the pixels, largest first.
    """
    picture: Picture
    seg_map: np.ndarray
    words: Vocabulary
    none_id: int | None
    selected: tuple[int, ...]
    seconds: float = 0.0
    word_seconds: float = 0.0
    maps: dict[int, np.ndarray] = field(default_factory=dict)
    shares: list[tuple[int, float]] = field(init=False)

    def __post_init__(self) -> None:
        self.shares = category_shares(self.seg_map)

    def label(self, category: int) -> str:
        """A name that no other id has."""
        name = category_name(category, self.words)
        twice = self.words.names.count(name) > 1 or (
            category >= len(self.words) and name in self.words.names)
        return f'{name} ({category})' if twice else name

    def found(self) -> list[tuple[int, float]]:
        """Ids of categories in the map with their share, largest first."""
        return [(i, share) for i, share in self.shares if i != self.none_id]


def percent(share: float) -> str:
    """A share in percent; what is there is never 0."""
    text = f'{100 * share:.1f}%'
    return '<0.1%' if share and text == '0.0%' else text


def masks(answer: Answer, max_side: int = SHOWN_SIDE
          ) -> tuple[np.ndarray, list[tuple[np.ndarray, str]], dict[str, str]]:
    """The picture as shown, and what lies on it.

    Args:
        answer: The result.
        max_side: The bound of the long side.

    Returns:
        tuple: RGB uint8 [h, w, 3]; for the largest categories a mask, float32 [h, w],
        with its label, which says the share; the colour of each label.
    """
    shown = reduced(answer.picture.pixels, max_side)
    rows, columns = shown.shape[:2]
    height, width = answer.seg_map.shape
    small = answer.seg_map[np.arange(rows)[:, None] * height // rows,
                           np.arange(columns)[None] * width // columns]
    parts, colours = [], {}
    for category, share in answer.found()[:MOST_MASKS]:
        label = f'{answer.label(category)}  {percent(share)}'
        parts.append(((small == category).astype(np.float32), label))
        colours[label] = '#' + bytes(answer.words.palette[category]).hex()
    return shown, parts, colours


def word_map(answer: Answer, place: int, max_side: int = SHOWN_SIDE
             ) -> tuple[np.ndarray, list[tuple[np.ndarray, str]], dict[str, str]]:
    """The picture with the probabilities of one word; its mask where it has none.

    Args:
        answer: The result.
        place: Of the word in ``masks``.
        max_side: The bound of the long side.

    Returns:
        tuple: As of ``masks``.
    """
    shown, parts, colours = masks(answer, max_side)
    mask, label = parts[place]
    category, _ = answer.found()[place]
    if category in answer.maps:
        small = Image.fromarray(answer.maps[category].astype(np.float32))
        mask = np.asarray(small.resize(mask.shape[::-1], Image.Resampling.BILINEAR))
    return shown, [(mask.clip(0, 1), label)], {label: colours[label]}


def table(answer: Answer) -> list[list[str | int]]:
    """Rows of id, word, share and whether it was selected.

    First the found categories by share, then the selected ones, then others as far as
    there is room.
    """
    shares, selected = dict(answer.shares), set(answer.selected)
    order = [i for i, _ in answer.shares]
    order += [i for i in answer.selected if i not in shares]
    order += [i for i in range(len(answer.words))
              if i not in shares and i not in selected]
    most = max(MOST_ROWS, len(shares))
    return [[i, answer.label(i), percent(shares.get(i, 0.0)),
             'yes' if i in selected else '' if i == answer.none_id else 'no']
            for i in order[:most]]


def cost(answer: Answer) -> str:
    """HTML: what the words and the picture cost, and what else to know."""
    height, width = answer.seg_map.shape
    count = sum(1 for i in answer.selected if 0 <= i < len(answer.words))
    words = len(answer.words)
    lines = [f'<b>{count} of {words:,} word{"s" * (words != 1)} selected</b>, '
             f'{len(answer.found())} found. Words encoded in '
             f'{answer.word_seconds:.2f} s, picture of {width:,} × {height:,} pixels '
             f'segmented in {answer.seconds:.2f} s.']
    name = answer.words.names[0]
    if words == 1 and ',' in name:
        lines.append(f'"{escape(name)}" is one word here, since a comma may be part of '
                     'a name: separate words with ;')
    if answer.found():
        lines.append('Point at a word below the picture, or tap it, to see its mask '
                     'alone; choose it to see how probable it is at each place.')
    if answer.picture.note:
        lines.append(escape(answer.picture.note))
    hidden = len(answer.found()) - MOST_MASKS
    if hidden > 0:
        lines.append(f'The {MOST_MASKS} largest are drawn; the table has {hidden} '
                     'more, the overlay for download all.')
    return f'<div role="status">{"<br>".join(lines)}</div>'


def problem(message: str) -> str:
    """HTML of what went wrong."""
    return f'<div role="alert" class="problem">{escape(message)}</div>'


def draw(answer: Answer, opacity: float) -> Image.Image:
    """The drawing for download, see ``draw_overlay``."""
    return draw_overlay(answer.picture.pixels, answer.seg_map, answer.words, opacity,
                        answer.none_id)


def write_files(answer: Answer, folder: Path, opacity: float
                ) -> tuple[Path, Path, Path]:
    """Write what can be downloaded.

    The names are a vocabulary file, too: ``Vocabulary.load`` reads it.

    Args:
        answer: The result.
        folder: Where to.
        opacity: Of the overlay.

    Returns:
        tuple: Paths of label map, names and overlay.
    """
    wide = needs_16_bits(len(answer.words), answer.none_id)
    labels, overlay = write_prediction(folder, answer.picture.stem, answer.seg_map,
                                       draw(answer, opacity), wide=wide)
    names = folder / f'{answer.picture.stem}_names.json'
    content = dict(classes=['|'.join(entry) for entry in answer.words.synonyms],
                   palette=answer.words.palette, none_id=answer.none_id,
                   shares={str(i): share for i, share in answer.shares})
    names.write_text(json.dumps(content, indent=1, ensure_ascii=False),
                     encoding='utf-8')
    return labels, names, overlay
