"""Label maps over pictures, their names, and the sheet."""

import numpy as np

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.reproduction.drawing import (
    HEIGHT,
    draw_map,
    draw_names,
    fitting,
    font_of,
    wrap,
)


def test_labels_above_255_keep_their_colour():
    words = Vocabulary([f'word {i}' for i in range(847)])
    picture = np.zeros((60, 80, 3), np.uint8)
    labels = np.full((60, 80), 846)
    labels[:, :40] = 300
    labels[:4] = 65535  # ignored
    drawn = np.array(draw_map(picture, labels, words))
    assert drawn.shape == (HEIGHT, fitting(picture)[0], 3)
    for x, word in ((10, 300), (-10, 846)):
        expected = 0.7 * np.array(words.palette[word])
        assert np.abs(drawn[-10, x] - expected).max() <= 1
    assert not drawn[2, 5].any()


def test_names_stay_inside():
    image = np.full((80, 120, 3), 7, np.uint8)
    labels = np.zeros((80, 120), int)
    labels[:30, 100:] = 1
    names = ['a very long name of a category in many words', 'x']
    drawn = draw_names(image, labels, names)
    border = np.concatenate([drawn[-1], drawn[:, -1]])
    assert (border == 7).all() and not (drawn == 7).all()


def test_wrap():
    font = font_of(12)
    text = wrap('one two three', font, int(font.getlength('one two')) + 1)
    assert text == 'one two\nthree'
