"""Draws scenes: pictures whose grounds and things belong together.

Beside what ``draw`` makes hard, brightness lies: grounds get darker towards one end, a
sunny place ends in a sharp line, things throw soft shadows and have parts of different
brightness, while what ends at a border often has the same brightness as its neighbour.
Things have a thin dark outline, which belongs to them.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .draw import (
    _COLOUR_TABLE,
    _SURFACE_TABLE,
    SIDE,
    _texture,
    check_drawing,
    draw_picture,
)
from .scene_kinds import KINDS, Kind, slots_of
from .scene_shapes import BORDERS, FORMS, INSETS, INSIDE, REACH, Part
from .surfaces import TILE


class SceneDifficulty(NamedTuple):
    """How hard the scenes are.

    Attributes:
        guests: How often a thing from elsewhere is there, in 64ths; also how often a
            ground is one from elsewhere, in 256ths.
        slope: Strongest change of brightness across the picture or a ground (share).
        sunny: Most by which a sunny place is brighter (share).
        shadow: How much of the light a shadow takes (share).
        outline: Light that is left on an outline (share).
        drift: Most that a surface's colours are off (8-bit steps).
        grain: Standard deviation of the pixel noise (8-bit steps).
        clutter: Least and most occluding specks.
    """
    guests: int = 16
    slope: float = 0.3
    sunny: float = 0.3
    shadow: float = 0.4
    outline: float = 0.5
    drift: int = 18
    grain: float = 22.0
    clutter: tuple[int, int] = (4, 9)


NORMAL = SceneDifficulty()


class Standing(NamedTuple):
    """A thing in a scene.

    Attributes:
        sort: Its number in the kind of scene, -1: a guest.
        ground: Band that it stands on.
        foot: Its y and x, as shares of the side.
        form: Key of ``FORMS``.
    """
    sort: int
    ground: int
    foot: tuple[float, float]
    form: str


class Scene(NamedTuple):
    """A drawn scene.

    Attributes:
        picture: RGB, uint8 [side, side, 3].
        label: Category ids, int64 [side, side].
        kind: Its number in ``KINDS``.
        owner: Which region a pixel belongs to, int64 [side, side]: the bands from top
            to bottom, the inset, the things from back to front.
        chosen: Category of each region; an inset may be empty or hidden.
        things: In the order of their regions.
        outlined: Pixels on the outline of a thing, bool [side, side].
    """
    picture: np.ndarray
    label: np.ndarray
    kind: int
    owner: np.ndarray
    chosen: list[int]
    things: list[Standing]
    outlined: np.ndarray


@lru_cache(maxsize=8)
def _axes(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Middles of the pixels, y [side, 1] and x [1, side] in 0..1."""
    axis = (np.arange(side) + 0.5) / side
    return axis[:, None], axis[None, :]


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Pixel noise of unit deviation, float32 [TILE, TILE, 3], always the same."""
    dice = np.random.default_rng(41).integers(-3, 4, (4, TILE, TILE, 3)).sum(0)
    return dice.astype(np.float32) / 4  # each die has the variance 4


def _bands(kind: Kind, r: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Heights of the borders between the bands, [bands - 1, side]."""
    count = len(kind.borders)
    if not count:
        return np.zeros((0, x.shape[1]))
    middles = ((0.42 + 0.2 * r[0, 0], ) if count == 1 else
               (0.28 + 0.1 * r[0, 0], 0.6 + 0.12 * r[1, 0]))
    rows = [middle + BORDERS[name](x[0], own)
            for middle, name, own in zip(middles, kind.borders, r[:, 1:], strict=False)]
    return np.maximum.accumulate(np.asarray(rows), axis=0)


def _stand(number: int, form: str, ground: int, size: float, across: float, down: float,
           heights: np.ndarray) -> tuple[Standing, float]:
    """A thing on its ground, and how high it is: the nearer, the higher."""
    column = min(int(across * heights.shape[1]), heights.shape[1] - 1)
    top = float(heights[ground - 1, column]) if ground else 0.12
    bottom = float(heights[ground, column]) if ground < len(heights) else 0.98
    foot = top + (bottom - top) * (0.25 + 0.7 * down)
    return Standing(number, ground, (foot, across), form), size * (0.55 + 0.75 * foot)


def _things(rng: np.random.Generator, kind: Kind, heights: np.ndarray, guests: int
            ) -> list[tuple[Standing, float]]:
    """The things of a scene and their heights, those at the back first."""
    r, dice = rng.random((5, 2)).tolist(), rng.integers(0, 64, 6).tolist()
    things = []

    def add(number: int, across: float, down: float) -> None:
        sort = kind.sorts[number]
        things.append(_stand(number, sort.form, sort.ground, sort.size, across, down,
                             heights))

    def somewhere(number: int, place: list[float]) -> None:
        add(number, 0.08 + 0.84 * place[0], place[1])

    if dice[0] < kind.sorts[0].chance:
        somewhere(0, r[0])
        first, size = things[0]
        if dice[3] < 20:  # a second one
            somewhere(0, r[4])
        if dice[1] < kind.sorts[1].chance:  # what belongs to it is beside it
            way = 1 if first.foot[1] < 0.5 else -1
            across = first.foot[1] + way * (0.4 * size + 0.3 * kind.sorts[1].size)
            add(1, min(max(across, 0.05), 0.95), 0.5 + 0.5 * r[1][1])
    elif dice[1] < 6:
        somewhere(1, r[1])
    if dice[2] < kind.sorts[2].chance:
        somewhere(2, r[2])
    if dice[4] < guests or not things:
        form = tuple(FORMS)[dice[5] % len(FORMS)]
        things.append(_stand(-1, form, len(heights), 0.36, 0.1 + 0.8 * r[3][0], r[3][1],
                             heights))
    return sorted(things, key=lambda thing: thing[0].foot[0])


def _choose(rng: np.random.Generator, pool: Sequence[int], number: int,
            slots: Sequence[int], guests: int) -> list[int]:
    """A category for each slot, none in two slots where the pool has others.

    Args:
        rng: Source of the choice.
        pool: Category ids.
        number: Of the kind of scene.
        slots: Of the kind; -1: a thing that is a guest.
        guests: Share of grounds from elsewhere, in 256ths.
    """
    tables = slots_of(tuple(pool))
    grounds = len(KINDS[number].bands) + 1
    chosen: dict[int, int] = {}
    for slot in dict.fromkeys(slots):
        table = tables.things if slot < 0 else tables.likely[number][slot]
        if 0 <= slot < grounds and rng.integers(256) < guests:
            table = tables.grounds
        for _ in range(8):
            place = int(table.searchsorted(rng.integers(table[-1]), 'right'))
            if pool[place] not in chosen.values():
                break
        chosen[slot] = int(pool[place])
    return [chosen[slot] for slot in slots]


def _inside(part: Part, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Where a part lies, bool [H, W], from u [1, W] and v [H, 1]."""
    a, b = (u - part.u) / part.width, (v - part.v) / part.height
    if part.shape == 'oval':
        return a * a + b * b < 1
    a, b = np.abs(a), (b if part.shape != 'box' else np.abs(b))
    if part.shape == 'box':
        return (a < 1) & (b < 1)
    up = (1 - b) if part.shape == 'cone' else (1.6 + 0.4 * b)
    return (2 * a < up) & (np.abs(b) < 1)


def _form(form: str, u: np.ndarray, v: np.ndarray
          ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask, brightness and outline of a thing, each [H, W]."""
    light = np.zeros((len(v), u.shape[1]))
    for part in FORMS[form]:
        light[_inside(part, u, v)] = part.light
    mask = light > 0
    line = np.zeros_like(mask)
    line[1:-1, 1:-1] = mask[1:-1, 1:-1] & ~(
        mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:])
    return mask, light, line


def _owners(kind: Kind, heights: np.ndarray, x: np.ndarray, y: np.ndarray,
            r: np.ndarray) -> np.ndarray:
    """Which ground a pixel belongs to, int64 [side, side]; the inset comes last."""
    owner = np.zeros((len(y), len(y)), np.int64)
    for height in heights:
        owner += y > height
    top = float(heights[-1].max() + heights[-1].min()) / 2 if len(heights) else 0.0
    inset = INSETS[kind.inset](x, y, top, r)
    if kind.inset in INSIDE:
        inset &= owner == (len(heights) if INSIDE[kind.inset] == 'lowest' else 0)
    owner[inset] = len(kind.bands)
    return owner


def _light_of_grounds(owner: np.ndarray, x: np.ndarray, y: np.ndarray, bands: int,
                      s: np.ndarray, d: SceneDifficulty) -> np.ndarray:
    """Brightness of the grounds without things, [side, side]."""
    light = 1 + d.slope * s[:bands + 1, 0].take(owner) * (y - 0.5)
    lit = int(s[-1, 0] > 0) * (bands - 1)  # a sunny place in this band
    edge = (x - 0.5 - 0.3 * s[-2, 0]) + s[-2, 1] * (y - 0.5) > 0
    light[edge & (owner == lit)] *= 1 + d.sunny * abs(s[-1, 1])
    return light


def _shade(light: np.ndarray, x: np.ndarray, y: np.ndarray, foot: float, across: float,
           size: float, share: float) -> None:
    """Darken an oval with a soft edge around a foot, in place."""
    side = len(light)
    wide, high = 0.6 * size, 0.17 * size
    box = np.s_[max(0, int((foot - high) * side)):int((foot + high) * side) + 1,
                max(0, int((across - wide) * side)):max(
                    0, int((across + wide) * side) + 1)]
    u = (x[:, box[1]] - across) / wide
    v = (y[box[0]] - foot) / high
    light[box] *= 1 - share * np.clip(1.6 - 1.6 * (u * u + v * v), 0, 1)


def _photograph(rng: np.random.Generator, paint: np.ndarray, light: np.ndarray,
                chosen: list[int], d: SceneDifficulty) -> np.ndarray:
    """The picture, uint8 [side, side, 3], with specks and grain."""
    side = len(paint)
    colours = _COLOUR_TABLE[_SURFACE_TABLE[chosen][:, [2, 0]].ravel()]
    colours = colours + rng.integers(-d.drift, d.drift + 1, colours.shape
                                     ).astype(np.float32)
    picture = colours.take(paint, axis=0)
    picture *= light.astype(np.float32)[..., None]
    specks = rng.integers(d.clutter[0], d.clutter[1] + 1)
    places = rng.integers((0, 0, 1, 1), (side - 4, side - 4, 5, 5), (specks, 4))
    for (i, j, height, width), colour in zip(
            places, rng.integers(0, 256, (specks, 3)), strict=True):
        picture[i:i + height, j:j + width] = colour
    i, j = rng.integers(0, TILE - side + 1, 2)
    picture += np.float32(d.grain) * _grain()[i:i + side, j:j + side]
    return np.clip(picture, 0, 255, out=picture).astype(np.uint8)


def compose(rng: np.random.Generator, pool: Sequence[int], side: int = SIDE,
            difficulty: SceneDifficulty = NORMAL) -> Scene:
    """Draw a scene, and tell what is where.

    Args:
        rng: Source of everything random in it.
        pool: Category ids (indices into ``SURFACES``) to choose from.
        side: Height and width in pixels, at most ``TILE``.
        difficulty: Light, grain, guests.

    Raises:
        ValueError: The pool is empty or the side is not in 8..TILE.
    """
    check_drawing(pool, side)
    number = int(rng.integers(len(KINDS)))
    kind, bands = KINDS[number], len(KINDS[number].bands)
    y, x = _axes(side)
    r = rng.random((4, 5))
    heights = _bands(kind, r[:2], x)
    standing = _things(rng, kind, heights, difficulty.guests)
    # Things of one sort are of one category.
    slots = [*range(bands + 1), *(
        thing.sort if thing.sort < 0 else bands + 1 + thing.sort
        for thing, _ in standing)]
    chosen = _choose(rng, pool, number, slots, difficulty.guests)

    owner = _owners(kind, heights, x, y, r[2])
    # 2 * region + (1 on the foreground colour), as in draw.
    paint = 2 * owner
    for i in range(bands if kind.inset == 'none' else bands + 1):
        np.add(paint, _texture(rng, chosen[i], side, side), out=paint, where=owner == i)

    s = 2 * rng.random((len(slots) + 3, 2)) - 1
    light = _light_of_grounds(owner, x, y, bands, s, difficulty)
    sun = 1 if s[-3, 0] > 0 else -1
    outlined = np.zeros((side, side), bool)
    for i, (thing, size) in enumerate(standing, bands + 1):
        foot, across = thing.foot
        _shade(light, x, y, foot, across + 0.3 * sun * size, size, difficulty.shadow)
        top = max(0, int((foot - size) * side) - 1)
        bottom = min(side, int(foot * side) + 2)
        left = max(0, int((across - REACH * size) * side) - 1)
        right = min(side, int((across + REACH * size) * side) + 2)
        flip = 1 if s[i, 0] > 0 else -1
        u = (x[:, left:right] - across) * (flip / size)
        mask, own, line = _form(thing.form, u, (foot - y[top:bottom]) / size)
        own *= 1 + 0.25 * sun * flip * s[i, 1] * u
        own[line] *= difficulty.outline
        box = np.s_[top:bottom, left:right]
        texture = _texture(rng, chosen[i], bottom - top, right - left)
        np.copyto(paint[box], texture + 2 * i, where=mask)
        np.copyto(light[box], own, where=mask)
        np.copyto(outlined[box], line, where=mask)
    light *= (1 + 0.4 * difficulty.slope * s[-3, 1]
              ) + difficulty.slope * s[-1, 0] * (x - 0.5)

    picture = _photograph(rng, paint, light, chosen, difficulty)
    owner = paint >> 1
    return Scene(picture, np.asarray(chosen, np.int64).take(owner), number, owner,
                 chosen, [thing for thing, _ in standing], outlined)


def draw_scene(rng: np.random.Generator, pool: Sequence[int], side: int = SIDE,
               difficulty: SceneDifficulty = NORMAL) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene and its label map; arguments and errors as of ``compose``.

    Returns:
        tuple: RGB picture, uint8 [side, side, 3], and category ids, int64 [side, side].
    """
    scene = compose(rng, pool, side, difficulty)
    return scene.picture, scene.label


def drawing_of(scenes: bool) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """``draw_scene`` or ``draw_picture``."""
    return draw_scene if scenes else draw_picture
