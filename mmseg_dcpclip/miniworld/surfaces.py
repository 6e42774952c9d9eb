"""The categories of the small world: surfaces such as 'red stripes on blue'.

A surface is a texture drawn in one colour on another. Eleven colours, eight
textures and ten remaining colours give 880 categories. Every attribute shows
within a patch or two, so that patch features can carry it.
"""

import numpy as np

COLOURS = {
    'black': (30, 30, 34),
    'white': (240, 240, 238),
    'grey': (136, 136, 140),
    'red': (214, 40, 46),
    'orange': (246, 138, 30),
    'yellow': (246, 220, 60),
    'green': (52, 160, 70),
    'blue': (44, 88, 206),
    'purple': (132, 58, 168),
    'pink': (248, 154, 196),
    'brown': (122, 76, 42),
}
TEXTURES = ('stripes', 'bars', 'diagonals', 'dots', 'grid', 'speckles', 'zigzags',
            'crosses')

# (foreground, texture, background) of every category, in id order.
SURFACES = tuple(
    (fg, texture, bg) for fg in COLOURS for texture in TEXTURES for bg in COLOURS
    if bg != fg)
NAMES = tuple(f'{fg} {texture} on {bg}' for fg, texture, bg in SURFACES)

TILE = 224  # side of a texture tile in pixels; a picture takes a crop of it
TILES_PER_TEXTURE = 12


def texture_mask(texture: str, rng: np.random.Generator, side: int = TILE
                 ) -> np.ndarray:
    """Draw where the foreground colour of a texture lies.

    Args:
        texture: One of ``TEXTURES``.
        rng: Source of period, phase and slant.
        side: Height and width in pixels.

    Returns:
        np.ndarray: bool [side, side].

    Raises:
        ValueError: The texture has no drawing.
    """
    y, x = np.mgrid[:side, :side].astype(np.float32)
    period = rng.uniform(5.0, 8.0)
    width = rng.uniform(0.34, 0.44) * period
    slant = rng.uniform(-0.12, 0.12)
    u, v = x + slant * y, y - slant * x
    u, v = u + rng.uniform(0, period), v + rng.uniform(0, period)
    if texture == 'stripes':
        return v % period < width
    if texture == 'bars':
        return u % period < width
    if texture == 'diagonals':
        sign = rng.choice((-1, 1))
        return (u + sign * v) % (1.35 * period) < 1.35 * width
    if texture == 'dots':
        return (u % period - period / 2)**2 + (v % period - period / 2)**2 < (
            0.36 * period)**2
    if texture == 'grid':
        line = 0.24 * period
        return (u % period < line) | (v % period < line)
    if texture == 'speckles':
        grain = rng.random((side // 2, side // 2)) < 0.3
        return grain.repeat(2, 0).repeat(2, 1)
    if texture == 'zigzags':
        wave = np.abs(u % (1.5 * period) - 0.75 * period)
        return (v + 1.3 * wave) % (1.15 * period) < 1.1 * width
    if texture == 'crosses':
        step = 1.2 * period
        a, b = np.abs(u % step - step / 2), np.abs(v % step - step / 2)
        arm, line = 0.42 * step, 0.14 * step
        return ((a < line) & (b < arm)) | ((b < line) & (a < arm))
    raise ValueError(f'no drawing for the texture {texture!r}; known: {TEXTURES}')
