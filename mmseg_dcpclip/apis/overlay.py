"""Draws a label map over its picture, with a legend."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..vocabulary import Vocabulary

ROW = 22  # height of a legend row in pixels
MIN_HEIGHT = 320  # small pictures are enlarged to this
NONE = 'none'  # name of an id beside the vocabulary
WHITE = np.full(3, 255)


def category_shares(seg_map: np.ndarray) -> list[tuple[int, float]]:
    """Ids in a label map with their share of the pixels, largest first."""
    ids, counts = np.unique(seg_map, return_counts=True)
    order = np.argsort(-counts, kind='stable')
    return [(int(ids[i]), float(counts[i] / seg_map.size)) for i in order]


def category_name(category: int, vocabulary: Vocabulary) -> str:
    """Name of an id in a label map, ``NONE`` for one beside the vocabulary."""
    inside = 0 <= category < len(vocabulary)
    return vocabulary.names[category] if inside else NONE


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(c) for c in colour)
    return red, green, blue


def draw_overlay(picture: np.ndarray, seg_map: np.ndarray, vocabulary: Vocabulary,
                 opacity: float = 0.55, none_id: int | None = None) -> Image.Image:
    """Picture and overlay side by side, names and shares beside them.

    Args:
        picture: RGB, uint8 [H, W, 3].
        seg_map: Category ids, [H, W].
        vocabulary: Names and colours.
        opacity: Of the colours, 0..1.
        none_id: Pixels of it are left as in the picture; beside the vocabulary its name
            is ``NONE``.

    Returns:
        Image.Image: RGB.

    Raises:
        ValueError: Picture and map differ in size, or an id is not in the vocabulary.
    """
    if picture.shape[:2] != seg_map.shape:
        raise ValueError(f'the picture is {picture.shape[:2]} and the label map '
                         f'{seg_map.shape}')
    shares = category_shares(seg_map)
    wrong = [i for i, _ in shares if not (0 <= i < len(vocabulary) or i == none_id)]
    if wrong:
        raise ValueError(f'ids {wrong[:5]} are not in the vocabulary of '
                         f'{len(vocabulary)}')
    palette = np.array(vocabulary.palette, np.float32)
    none = np.zeros_like(seg_map, bool) if none_id is None else seg_map == none_id
    mixed = (1 - opacity) * picture + opacity * palette[np.where(none, 0, seg_map)]
    mixed[none] = picture[none]
    zoom = max(1, round(MIN_HEIGHT / picture.shape[0]))
    panels = [Image.fromarray(p).resize((p.shape[1] * zoom, p.shape[0] * zoom),
                                        Image.Resampling.NEAREST)
              for p in (picture, mixed.round().astype(np.uint8))]

    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' /
                                  'DejaVuSans.ttf'), 13)
    rows = [(WHITE if i == none_id else palette[i],
             f'{category_name(i, vocabulary)}  {100 * share:.1f}%')
            for i, share in shares]
    width, height = panels[0].size
    legend = max(int(font.getlength(text)) for _, text in rows) + 2 * ROW + 8
    sheet = Image.new('RGB', (2 * width + legend, max(height, ROW * len(rows) + 8)),
                      'white')
    for i, panel in enumerate(panels):
        sheet.paste(panel, (i * width, 0))
    draw = ImageDraw.Draw(sheet)
    for i, (colour, text) in enumerate(rows):
        x, y = 2 * width + 8, 4 + i * ROW
        draw.rectangle((x, y + 3, x + 16, y + 17), fill=_rgb(colour),
                       outline='black')
        draw.text((x + ROW, y + 2), text, fill='black', font=font)
    return sheet
