"""Shapes in scenes: borders between grounds, grounds within grounds, forms of things.

Only sums, products, quotients and roundings down, which are the same on every machine;
no sine and no logarithm.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


def _tent(t: np.ndarray) -> np.ndarray:
    """A wave of straight lines, period 1, from -1 to 1."""
    return 4 * np.abs(t - np.floor(t + 0.5)) - 1


def _wave(t: np.ndarray) -> np.ndarray:
    """A smooth wave of parabolas, period 1, from -1 to 1."""
    tent = _tent(t)
    return tent * (2 - np.abs(tent))


def _blocks(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    steps = np.floor(x * (4 + 4 * r[0]) + r[1])
    return 0.09 * _tent(0.38 * steps + r[2])


# By name: height of a border [W], downwards and around 0, from x in 0..1 [W] and random
# numbers in 0..1 [4].
BORDERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = dict(
    flat=lambda x, r: (0.1 * r[0] - 0.05) * (x - 0.5),
    hills=lambda x, r: (0.09 * _wave(x * (0.9 + r[0]) + r[1])
                        + 0.04 * _wave(x * (2 + r[2]) + r[3])),
    roofs=lambda x, r: 0.07 * _tent(x * (2.5 + 2 * r[0]) + r[1]),
    blocks=_blocks,
    waves=lambda x, r: 0.03 * _wave(x * (4 + 3 * r[0]) + r[1]),
    slope=lambda x, r: (0.3 * (x - 0.5) if r[0] < 0.5 else 0.3 * (0.5 - x)),
    arches=lambda x, r: 0.12 * np.abs(_wave(x * (1 + r[0]) + r[1])) - 0.06,
)


def _path(x: np.ndarray, y: np.ndarray, top: float, r: np.ndarray) -> np.ndarray:
    middle = 0.25 + 0.5 * r[0] + (0.8 * r[1] - 0.4) * (y - top)
    return np.abs(x - middle) < 0.03 + (0.22 + 0.12 * r[2]) * (y - top)


def _pond(x: np.ndarray, y: np.ndarray, top: float, r: np.ndarray) -> np.ndarray:
    reach = 0.5 * (1 - top)
    u = (x - 0.25 - 0.5 * r[0]) / (0.22 + 0.16 * r[1])
    v = (y - top - reach * (0.9 + 0.4 * r[2])) / (reach * 0.55)
    return u * u + v * v < 1


def _window(x: np.ndarray, y: np.ndarray, top: float, r: np.ndarray) -> np.ndarray:
    return ((np.abs(x - 0.3 - 0.4 * r[0]) < 0.13 + 0.07 * r[1])
            & (np.abs(y - 0.18 - 0.06 * r[2]) < 0.13))


def _curtain(x: np.ndarray, y: np.ndarray, top: float, r: np.ndarray) -> np.ndarray:
    edge = 0.16 + 0.08 * r[0] + 0.02 * _wave(2 * y + r[1])
    return x < edge if r[2] < 0.5 else x > 1 - edge


def _none(x: np.ndarray, y: np.ndarray, top: float, r: np.ndarray) -> np.ndarray:
    return np.zeros((len(y), x.shape[1]), bool)


# By name: where a ground lies within another one, bool [H, W], from x [1, W] and y
# [H, 1] in 0..1, the height of the lowest border and random numbers [4]. Paths and
# ponds lie in the lowest ground, windows in the highest, curtains hang before all.
INSETS: dict[str, Callable[..., np.ndarray]] = dict(
    path=_path, window=_window, none=_none, pond=_pond, curtain=_curtain)
INSIDE = dict(path='lowest', pond='lowest', window='highest')


class Part(NamedTuple):
    """A part of a thing; its foot is at (0, 0), its height 1.

    Attributes:
        shape: ``'oval'``, ``'box'``, ``'cone'`` (point above) or ``'cup'`` (below).
        u: Middle, to the right.
        v: Middle, upwards.
        width: Half of it.
        height: Half of it.
        light: Its brightness.
    """
    shape: str
    u: float
    v: float
    width: float
    height: float
    light: float = 1.0


FORMS: dict[str, tuple[Part, ...]] = dict(
    tree=(Part('box', 0, .2, .07, .2, .75), Part('oval', 0, .66, .40, .34)),
    fir=(Part('box', 0, .1, .06, .1, .75), Part('cone', 0, .42, .40, .26),
         Part('cone', 0, .74, .30, .26, 1.1)),
    house=(Part('box', 0, .3, .40, .3), Part('cone', 0, .78, .5, .22, .72)),
    tower=(Part('box', 0, .36, .17, .36), Part('cone', 0, .84, .24, .16, .75),
           Part('box', 0, .55, .24, .04, 1.15)),
    figure=(Part('box', -.11, .17, .06, .17, .8), Part('box', .11, .17, .06, .17, .8),
            Part('box', 0, .5, .22, .22), Part('oval', 0, .85, .15, .15, 1.15)),
    table=(Part('box', -.40, .3, .05, .3, .8), Part('box', .40, .3, .05, .3, .8),
           Part('box', 0, .62, .52, .16)),
    lamp=(Part('box', 0, .04, .2, .04, .8), Part('box', 0, .35, .045, .32, .8),
          Part('cone', 0, .78, .36, .22, 1.15)),
    cup=(Part('cup', 0, .42, .34, .42), Part('oval', 0, .82, .33, .1, .72)),
    cart=(Part('box', 0, .46, .52, .22), Part('box', -.12, .8, .28, .16, 1.12),
          Part('oval', -.28, .16, .16, .16, .7), Part('oval', .28, .16, .16, .16, .7)),
    boat=(Part('cup', 0, .17, .55, .17, .85), Part('box', 0, .62, .035, .3, .75),
          Part('cone', .2, .64, .26, .32, 1.12)),
    flower=(Part('box', 0, .25, .045, .25, .75), Part('oval', -.2, .6, .2, .16),
            Part('oval', .2, .6, .2, .16), Part('oval', 0, .8, .18, .19),
            Part('oval', 0, .62, .13, .13, .75)),
    mushroom=(Part('box', 0, .25, .12, .25, 1.12), Part('oval', 0, .64, .46, .3)),
    arch=(Part('box', -.33, .4, .12, .4), Part('box', .33, .4, .12, .4),
          Part('box', 0, .85, .5, .14, .8)),
    beast=(Part('box', -.27, .15, .06, .16, .8), Part('box', .23, .15, .06, .16, .8),
           Part('oval', 0, .48, .46, .24), Part('oval', .44, .76, .18, .2, 1.12)),
    sign=(Part('box', 0, .28, .05, .28, .8), Part('oval', 0, .72, .30, .28)),
    stack=(Part('box', 0, .17, .46, .17), Part('box', .05, .5, .34, .17, 1.12),
           Part('box', -.03, .83, .22, .17, .85)),
)
REACH = 0.64  # no part goes further to a side
