"""Kinds of scene: what is likely where, and what goes with what.

Forty kinds are drawn once from a fixed seed. A kind has grounds, one above the other,
perhaps a ground inside another one (a path, a window), and three sorts of things, the
second of which stands beside the first. Each of these *slots* prefers a family of
surfaces: three colours, two textures, three colours behind them. Families hold seen and
unseen surfaces alike, so that what the place and the neighbours tell about a word can
be learned from the seen ones. Everywhere grounds have other textures than things.

Weights are whole numbers: what is chosen depends on no rounding.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .scene_shapes import BORDERS, FORMS, INSETS
from .splits import SEEN
from .surfaces import COLOURS, SURFACES, TEXTURES

NUM_KINDS = 40
GROUND_TEXTURES = ('stripes', 'bars', 'diagonals', 'zigzags')
THING_TEXTURES = ('dots', 'grid', 'speckles', 'crosses')
LOYALTY = 20  # how much likelier a surface is for each part that its family has

_COLOURS, _TEXTURES = tuple(COLOURS), tuple(TEXTURES)
_PARTS = np.array([(_COLOURS.index(front), _TEXTURES.index(texture),
                    _COLOURS.index(back)) for front, texture, back in SURFACES])


class Family(NamedTuple):
    """Surfaces of one kind of place.

    Attributes:
        front: Names of their colours in front.
        textures: Names of their textures.
        back: Names of their colours behind.
    """
    front: tuple[str, ...]
    textures: tuple[str, ...]
    back: tuple[str, ...]

    def parts(self) -> np.ndarray:
        """How many parts of each surface are in the family, int64 [880]."""
        places = ([_COLOURS.index(c) for c in self.front],
                  [_TEXTURES.index(t) for t in self.textures],
                  [_COLOURS.index(c) for c in self.back])
        counts = np.zeros(len(_PARTS), np.int64)
        for i, own in enumerate(places):
            counts += np.isin(_PARTS[:, i], own)
        return counts


class Sort(NamedTuple):
    """A sort of thing in a kind of scene.

    Attributes:
        family: Its likely surfaces.
        form: Key of ``FORMS``.
        ground: Place of the ground it stands on among the bands.
        size: Height as a share of the side, in the middle of the picture.
        chance: Of being there, in 64ths.
    """
    family: Family
    form: str
    ground: int
    size: float
    chance: int


class Kind(NamedTuple):
    """A kind of scene.

    Attributes:
        bands: Families of the grounds from top to bottom.
        borders: Key of ``BORDERS`` of each border between them.
        inset: Key of ``INSETS``: a ground within another one.
        inset_family: Of that ground.
        sorts: Of things; the second one stands beside the first.
    """
    bands: tuple[Family, ...]
    borders: tuple[str, ...]
    inset: str
    inset_family: Family
    sorts: tuple[Sort, ...]

    def families(self) -> tuple[Family, ...]:
        """Those of all slots: bands, inset, things."""
        return (*self.bands, self.inset_family, *(sort.family for sort in self.sorts))


def is_ground(category: int) -> bool:
    """Whether a category's texture is one of grounds."""
    return SURFACES[category][1] in GROUND_TEXTURES


def _family(rng: np.random.Generator, textures: tuple[str, ...], used: np.ndarray
            ) -> Family:
    """A family of surfaces that others have not had much; adds to ``used``.

    Two of them at least are seen in segmentation training.
    """
    def draw() -> Family:
        def some(names: tuple[str, ...], count: int) -> tuple[str, ...]:
            return tuple(names[i] for i in np.sort(rng.permutation(len(names))[:count]))
        return Family(some(_COLOURS, 3), some(textures, 2), some(_COLOURS, 3))

    families = [draw() for _ in range(16)]
    members = [family.parts() == 3 for family in families]
    best = min(range(16), key=lambda i: (
        members[i][list(SEEN)].sum() < 2, used[members[i]].max(),
        used[members[i]].sum()))
    used += members[best]
    return families[best]


def _kinds() -> tuple[Kind, ...]:
    rng = np.random.default_rng(NUM_KINDS)
    borders, insets, forms = tuple(BORDERS), tuple(INSETS), tuple(FORMS)
    used = np.zeros(len(SURFACES), np.int64)
    kinds = []
    for number in range(NUM_KINDS):
        count = (2, 3, 2, 3, 1)[number % 5]
        sorts: list[Sort] = []
        for form, chance in zip(rng.permutation(len(forms))[:3], (58, 50, 36),
                                strict=True):
            ground = count - 1 if len(sorts) < 2 else int(rng.integers(count))
            sorts.append(Sort(_family(rng, THING_TEXTURES, used), forms[form], ground,
                              0.30 + 0.02 * int(rng.integers(9)), chance))
        kinds.append(Kind(
            tuple(_family(rng, GROUND_TEXTURES, used) for _ in range(count)),
            tuple(borders[i] for i in rng.permutation(len(borders))[:count - 1]),
            insets[(number + number // len(insets)) % len(insets)],
            _family(rng, GROUND_TEXTURES, used), tuple(sorts)))
    return tuple(kinds)


KINDS = _kinds()


def likely(family: Family, textures: tuple[str, ...]) -> np.ndarray:
    """How likely each category is where a family is at home, int64 [880].

    Args:
        family: Of the slot.
        textures: Categories with other textures are not there at all.
    """
    own = np.array([texture in textures for _, texture, _ in SURFACES])
    return own * LOYALTY**family.parts()


class Slots(NamedTuple):
    """Running sums of the weights of a pool's categories.

    Attributes:
        likely: Of each slot in each kind of scene.
        grounds: Of grounds that are guests: all alike.
        things: Of things that are guests.
    """
    likely: tuple[tuple[np.ndarray, ...], ...]
    grounds: np.ndarray
    things: np.ndarray


@lru_cache(maxsize=16)
def slots_of(pool: tuple[int, ...]) -> Slots:
    """What the slots of all kinds of scene choose by.

    Args:
        pool: Category ids. Where none of them has the textures of a slot, all of them
            are as likely.
    """
    ids = np.asarray(pool)

    def running(weights: np.ndarray) -> np.ndarray:
        own = weights[ids]
        return np.cumsum(own if own.any() else own + 1)

    tables = []
    for kind in KINDS:
        grounds = len(kind.bands) + 1
        tables.append(tuple(
            running(likely(family, GROUND_TEXTURES if i < grounds else THING_TEXTURES))
            for i, family in enumerate(kind.families())))
    ground = np.array([is_ground(i) for i in range(len(SURFACES))])
    return Slots(tuple(tables), running(ground.astype(np.int64)),
                 running((~ground).astype(np.int64)))
