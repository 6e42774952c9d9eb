"""Draws the pictures of the small world.

A picture has one to three fields that meet along wavy borders, things of many
outlines on them, and then what makes a camera's life hard: uneven light, colour
drift, grain and clutter that hides a little of everything.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .surfaces import COLOURS, SURFACES, TEXTURES, TILE, TILES_PER_TEXTURE, texture_mask

SIDE = 96  # default height and width of a picture in pixels
OUTLINES = ('disc', 'box', 'diamond', 'triangle', 'star', 'blob', 'ring', 'bean')

_COLOUR_TABLE = np.array(list(COLOURS.values()), np.float32)
_COLOUR_ID = {name: i for i, name in enumerate(COLOURS)}
_TEXTURE_ID = {name: i for i, name in enumerate(TEXTURES)}
_SURFACE_TABLE = np.array([(_COLOUR_ID[fg], _TEXTURE_ID[texture], _COLOUR_ID[bg])
                           for fg, texture, bg in SURFACES])


class Difficulty(NamedTuple):
    """How hard the pictures are.

    Attributes:
        fields: Least and most fields in a picture.
        things: Least and most things in a picture.
        radius: Least and most radius of a thing, as a share of the side.
        light: Strongest change of brightness across the picture (share).
        drift: Standard deviation of a surface's colours (8-bit steps).
        grain: Standard deviation of the pixel noise (8-bit steps).
        clutter: Least and most occluding specks.
    """
    fields: tuple[int, int] = (1, 3)
    things: tuple[int, int] = (2, 5)
    radius: tuple[float, float] = (0.07, 0.17)
    light: float = 0.35
    drift: float = 11.0
    grain: float = 22.0
    clutter: tuple[int, int] = (6, 14)


NORMAL = Difficulty()


@lru_cache(maxsize=1)
def _tiles() -> np.ndarray:
    """Texture masks, bool [8, TILES_PER_TEXTURE, TILE, TILE], always the same."""
    rng = np.random.default_rng(20)
    return np.stack([[texture_mask(texture, rng) for _ in range(TILES_PER_TEXTURE)]
                     for texture in TEXTURES])


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Unit pixel noise, float32 [TILE, TILE, 3], always the same."""
    noise = np.random.default_rng(21).standard_normal((TILE, TILE, 3))
    return noise.astype(np.float32)


@lru_cache(maxsize=8)
def _axes(side: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(side, dtype=np.float32)
    return axis[:, None], axis[None, :]


def _outline(rng: np.random.Generator, y: np.ndarray, x: np.ndarray,
             radius: float) -> np.ndarray:
    """Mask of one thing around the origin of the coordinates y and x."""
    kind = OUTLINES[rng.integers(len(OUTLINES))]
    angle = rng.uniform(0, 2 * np.pi)
    stretch = rng.uniform(0.7, 1.0)
    cos, sin = np.cos(angle) / radius, np.sin(angle) / radius
    u, v = x * cos + y * sin, (y * cos - x * sin) / stretch
    if kind == 'disc':
        return u * u + v * v < 1
    if kind == 'box':
        return np.maximum(np.abs(u), np.abs(v)) < 0.85
    if kind == 'diamond':
        return np.abs(u) + np.abs(v) < 1.15
    if kind == 'triangle':
        return (v > -0.6) & (v + 1.7 * np.abs(u) < 1.1)
    if kind == 'ring':
        square = u * u + v * v
        return (square < 1.2) & (square > 0.2)
    if kind == 'bean':
        return (u * u + (v - 0.5 * u * u)**2) < 1
    turn = np.arctan2(v, u)
    if kind == 'star':
        reach = 0.85 + 0.3 * np.cos(5 * turn)
    else:
        reach = (0.9 + 0.14 * np.cos(2 * turn + rng.uniform(0, 6)) +
                 0.14 * np.cos(3 * turn + rng.uniform(0, 6)))
    return u * u + v * v < reach * reach


def _fields(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Which of `count` fields owns a pixel, int64 [side, side]."""
    y, x = _axes(side)
    if count == 1:
        return np.zeros((side, side), np.int64)
    angle = rng.uniform(0, np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    bend = rng.uniform(2, 7) * np.sin(along * rng.uniform(0.05, 0.16) +
                                      rng.uniform(0, 6))
    height = across + bend
    span = (height.min(), height.max())
    cuts = np.sort(rng.uniform(0.22, 0.78, count - 1)) * (span[1] - span[0]) + span[0]
    owner = (height > cuts[0]).astype(np.int64)
    for cut in cuts[1:]:
        owner += height > cut
    return owner


def _texture(rng: np.random.Generator, category: int, height: int,
             width: int) -> np.ndarray:
    """Where a category's foreground colour lies, uint8 0 or 1 [height, width]."""
    texture = _SURFACE_TABLE[category, 1]
    variant = rng.integers(TILES_PER_TEXTURE)
    top, left = rng.integers(TILE - height + 1), rng.integers(TILE - width + 1)
    mask = _tiles()[texture, variant, top:top + height, left:left + width]
    return mask.view(np.uint8)


def check_drawing(pool: Sequence[int], side: int) -> None:
    """Refuse what cannot be drawn.

    Args:
        pool: Category ids to choose from.
        side: Height and width in pixels.

    Raises:
        ValueError: The pool is empty or the side is not in 8..TILE.
    """
    if len(pool) == 0:
        raise ValueError('no categories to draw: the pool is empty')
    if not 8 <= side <= TILE:
        raise ValueError(f'side must lie in 8..{TILE} pixels, got {side}')


def draw_picture(rng: np.random.Generator,
                 pool: Sequence[int],
                 side: int = SIDE,
                 difficulty: Difficulty = NORMAL
                 ) -> tuple[np.ndarray, np.ndarray]:
    """Draw one picture and its label map.

    Args:
        rng: Source of everything random in the picture.
        pool: Category ids (indices into ``SURFACES``) to choose from; a picture
            uses each at most once where the pool is large enough.
        side: Height and width in pixels, at most ``TILE``.
        difficulty: Number and size of things, light, grain and clutter.

    Returns:
        tuple: RGB picture, uint8 [side, side, 3], and category ids,
        int64 [side, side]. Every pixel has a category.

    Raises:
        ValueError: The pool is empty or the side is not in 8..TILE.
    """
    check_drawing(pool, side)
    d = difficulty
    num_fields = int(rng.integers(d.fields[0], d.fields[1] + 1))
    num_things = int(rng.integers(d.things[0], d.things[1] + 1))
    total = num_fields + num_things
    chosen = [int(pool[i])
              for i in rng.choice(len(pool), total, replace=total > len(pool))]

    # Pixels first hold 2 * region + (1 on the foreground colour): one look-up each
    # for colours and labels at the end.
    y, x = _axes(side)
    owner = _fields(rng, num_fields, side)
    paint = 2 * owner
    for i in range(num_fields):
        np.add(paint, _texture(rng, chosen[i], side, side), out=paint,
               where=owner == i)
    for i in range(num_fields, total):
        radius = rng.uniform(*d.radius) * side
        cy, cx = rng.uniform(0.06, 0.94, 2) * side
        reach = 1.3 * radius  # no outline goes further
        top, bottom = max(0, int(cy - reach)), min(side, int(cy + reach) + 1)
        left, right = max(0, int(cx - reach)), min(side, int(cx + reach) + 1)
        mask = _outline(rng, y[top:bottom] - cy, x[:, left:right] - cx, radius)
        texture = _texture(rng, chosen[i], bottom - top, right - left)
        np.copyto(paint[top:bottom, left:right], texture + 2 * i, where=mask)

    colours = _COLOUR_TABLE[_SURFACE_TABLE[chosen][:, [2, 0]].ravel()]
    colours = colours + d.drift * rng.standard_normal(colours.shape).astype(np.float32)
    picture = colours.take(paint, axis=0)
    label = np.asarray(chosen, np.int64).take(paint // 2)

    for _ in range(int(rng.integers(d.clutter[0], d.clutter[1] + 1))):
        top, left = rng.integers(0, side - 4, 2)
        height, width = rng.integers(1, 5, 2)
        picture[top:top + height, left:left + width] = rng.uniform(0, 255, 3)

    slope = rng.uniform(-d.light, d.light, 2) / side
    light = (1 + rng.uniform(-0.4, 0.4) * d.light + slope[0] * (y - side / 2) +
             slope[1] * (x - side / 2))
    picture *= light[..., None]
    top, left = rng.integers(0, TILE - side + 1, 2)
    picture += d.grain * _grain()[top:top + side, left:left + side]
    np.clip(picture, 0, 255, out=picture)
    return picture.astype(np.uint8), label
