"""Vocabularies as ADE20K's, whose words nearly mean the same."""

import numpy as np
import pytest

from mmseg_dcpclip import Predictor
from mmseg_dcpclip.miniworld.draw import draw_picture
from mmseg_dcpclip.miniworld.splits import BENCHMARKS
from mmseg_dcpclip.miniworld.surfaces import NAMES

COLOURS = dict(
    red='crimson', blue='azure', green='emerald', pink='rose', purple='violet',
    black='ebony', white='ivory', grey='silver', orange='amber', yellow='golden',
    brown='chestnut')
POOL = BENCHMARKS['mini-20']
WORDS = [NAMES[i] for i in POOL]
# The mini CLIP has read none of these; 'over' hardly changes its embeddings.
NEAR = dict(over=[word.replace(' on ', ' over ') for word in WORDS],
            crimson=[f'{COLOURS[first]} {rest}' for first, rest in (
                word.split(' ', 1) for word in WORDS)])


@pytest.fixture(scope='module')
def pictures():
    return [draw_picture(np.random.default_rng(i), POOL) for i in range(6)]


@pytest.fixture(scope='module', params=['none', 'mmseg_dcpclip://dcpclip_mini'])
def predictor(request):
    return Predictor('dcpclip_mini_frozen' if request.param == 'none'
                     else 'dcpclip_mini', request.param)


def share(predictor, pictures, words, either=False, **options):
    """Of the pixels those of the right word, or of either word for it."""
    images, labels = zip(*pictures)
    maps = [sample.pred_sem_seg.data[0].numpy() for sample in predictor.predict(
        list(images), words, **options)]
    return np.mean([(found % len(POOL) if either else found)
                    == np.searchsorted(POOL, label)
                    for found, label in zip(maps, labels)])


@pytest.mark.parametrize('kind', NEAR)
def test_near_words(predictor, pictures, kind):
    """As words of their own they take pixels of each other and of nothing else; as
    synonyms of one category none are lost."""
    alone = share(predictor, pictures, WORDS)
    assert alone > 0.9
    rivals = share(predictor, pictures, WORDS + NEAR[kind])
    assert share(predictor, pictures, WORDS + NEAR[kind], either=True) > alone - 0.02
    assert (rivals < alone - 0.1) == (kind == 'over')
    synonyms = ['|'.join(pair) for pair in zip(WORDS, NEAR[kind])]
    assert share(predictor, pictures, synonyms, synonyms='max') > alone - 0.02
    # a mean is as good as its worst word
    assert share(predictor, pictures, synonyms, synonyms='mean') > alone - (
        0.02 if kind == 'over' else 0.1)
