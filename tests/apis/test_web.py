"""What the web page reads, shows and writes; its wiring is in test_web_page.py."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from toys import WORDS, toy_model_config

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis.web import ServedModel
from mmseg_dcpclip.apis.web.answers import (
    Answer,
    cost,
    masks,
    percent,
    problem,
    table,
    word_map,
    write_files,
)
from mmseg_dcpclip.apis.web.asking import (
    Picture,
    Settings,
    as_typed,
    label_sets,
    read_picture,
    read_words,
    uploaded,
)
from mmseg_dcpclip.datasets.labels import decode_label
from mmseg_dcpclip.models.tag_validation import TagValidation

MARKUP = '<img src=x onerror="alert(1)">'


def make_answer(seg_map, words, none_id=None, selected=None, note=''):
    seg_map = np.asarray(seg_map)
    pixels = np.full((*seg_map.shape, 3), 90, np.uint8)
    return Answer(Picture(pixels, 'a photo.jpg', note), seg_map, Vocabulary(words),
                  none_id, tuple(np.unique(seg_map)) if selected is None else selected,
                  seconds=0.5, word_seconds=0.25)


# ------------------------------------------------------------------------- asking

@pytest.mark.parametrize('name', label_sets())
def test_words_of_a_label_set_can_be_typed(name):
    loaded = Vocabulary.load(name)
    assert read_words(as_typed(loaded)).words_digest == loaded.words_digest


def test_words_are_those_of_the_command():
    text = ' cat;dog|puppy\ngrass, wet;;'
    assert read_words(text) == Vocabulary.parse(text)


@pytest.mark.parametrize('text, message', [
    (None, 'no words'), ('', 'no words'), (' ;\n; ', 'no words'),
    ('a;a', 'repeats'), ('a||b', 'blank'),
    (';'.join(f'w{i}' for i in range(5000)), '5,000 words .*2,000'),
    ('|'.join(f'w{i}' for i in range(2001)), '2,001 words')])
def test_bad_words(text, message):
    with pytest.raises(ValueError, match=message):
        read_words(text)


def test_settings_make_a_background():
    assert Settings().rule() is None
    assert Settings(threshold=0.3).rule().threshold == 0.3
    rule = Settings(background='sky; wall|fence').rule()
    assert rule.words == ('sky', 'wall', 'fence') and rule.threshold is None


def test_pictures_are_bounded_and_it_is_said(tmp_path):
    path = tmp_path / 'wide.png'
    Image.new('RGB', (300, 100), (10, 200, 30)).save(path)
    whole, small = read_picture(path), read_picture(path, max_side=60)
    assert whole.pixels.shape == (100, 300, 3) and whole.note == ''
    assert small.pixels.shape == (20, 60, 3) and whole.stem == 'wide'
    assert '300 × 100 pixels was reduced to 60 × 20' in small.note
    assert (small.pixels == (10, 200, 30)).all()


def test_bad_pictures_are_named_without_the_servers_folders(tmp_path, monkeypatch):
    path = tmp_path / 'text.png'
    path.write_text('no picture')
    Image.new('L', (40, 30)).save(tmp_path / 'large.png')
    with pytest.raises(ValueError, match=r'^text\.png cannot be read'):
        read_picture(path)
    with pytest.raises(ValueError, match=r'^gone\.png is no longer on the server'):
        read_picture(tmp_path / 'gone.png')
    with pytest.raises(ValueError, match='There is no picture'):
        read_picture(None)
    monkeypatch.setattr('mmseg_dcpclip.apis.web.asking.MAX_PIXELS', 1000)
    with pytest.raises(ValueError, match='^large.png has .* more than this page reads'):
        read_picture(tmp_path / 'large.png')


def test_only_uploads_are_read(tmp_path):
    uploads = tmp_path / 'uploads'
    uploads.mkdir()
    assert uploaded(None, uploads) is None
    assert uploaded(dict(path=str(uploads / 'a.png')), uploads) == uploads / 'a.png'
    (uploads / 'link.png').symlink_to(tmp_path / 'secret.png')
    for path in (tmp_path / 'secret.png', uploads / '..' / 'secret.png',
                 uploads / 'link.png'):
        with pytest.raises(ValueError, match='not uploaded here'):
            uploaded(dict(path=str(path)), uploads)


# ------------------------------------------------------------------------ answers

def test_masks_are_the_label_map():
    rng = np.random.default_rng(0)
    answer = make_answer(rng.integers(0, 4, (40, 30)), WORDS[:3], none_id=3)
    shown, parts, colours = masks(answer)
    assert shown.shape == (40, 30, 3) and len(parts) == 3
    order = sorted(range(3), key=lambda i: -(answer.seg_map == i).sum())
    for (mask, label), i in zip(parts, order, strict=True):
        assert (mask == (answer.seg_map == i)).all()
        assert label == f'{WORDS[i]}  {100 * (answer.seg_map == i).mean():.1f}%'
        assert colours[label] == '#{:02x}{:02x}{:02x}'.format(*answer.words.palette[i])


def test_masks_of_a_large_picture_are_small():
    seg_map = np.zeros((400, 200), int)
    seg_map[:, 100:] = 1
    shown, parts, _ = masks(make_answer(seg_map, WORDS), max_side=100)
    assert shown.shape == (100, 50, 3)
    assert [mask.sum() for mask, _ in parts] == [2500, 2500]
    assert parts[1][0][:, 25:].all()


def test_a_word_is_shown_by_its_map_or_its_mask():
    answer = make_answer(np.repeat([[0, 0, 0, 1]], 3, 0), WORDS[:2])
    answer.maps = {0: np.array([[0.25, 0.75]], np.float16)}
    shown, ((found, label), ), colours = word_map(answer, 0)
    assert shown.shape == (3, 4, 3) and label == f'{WORDS[0]}  75.0%'
    assert list(colours) == [label]
    np.testing.assert_allclose(found, [[0.25, 0.375, 0.625, 0.75]] * 3, atol=1e-3)
    (mask, _), = word_map(answer, 1)[1]
    assert (mask == [0, 0, 0, 1]).all()


def test_labels_differ_where_names_do_not():
    answer = make_answer([[0, 1, 2, 3]], [['bag', 'sack'], ['bag', 'purse'], 'none'],
                         none_id=3)
    assert [answer.label(i) for i in range(4)] == [
        'bag (0)', 'bag (1)', 'none', 'none (3)']


def test_the_table_has_every_word_once():
    answer = make_answer([[4, 4, 4, 1]], WORDS, selected=(1, 2, 4))
    assert table(answer) == [
        [4, WORDS[4], '75.0%', 'yes'], [1, WORDS[1], '25.0%', 'yes'],
        [2, WORDS[2], '0.0%', 'yes'], [0, WORDS[0], '0.0%', 'no'],
        [3, WORDS[3], '0.0%', 'no']]
    many = make_answer([[4, 700]], [f'w{i}' for i in range(847)])
    assert len(table(many)) == 100 and table(many)[1][0] == 700
    none = make_answer([[0, 5]], WORDS, none_id=5, selected=(0, 5))
    assert [5, 'none', '50.0%', 'yes'] in table(none)


def test_a_share_that_is_there_is_not_zero():
    assert [percent(x) for x in (0, 1e-9, 0.0004, 0.0006, 0.5, 1)] == [
        '0.0%', '<0.1%', '<0.1%', '0.1%', '50.0%', '100.0%']


class Text(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.text = set(), ''
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def test_cost_says_what_was_selected_and_how_long_it_took():
    answer = make_answer(np.arange(40).reshape(5, 8), [f'w{i}' for i in range(60)],
                         none_id=60, selected=(*range(45), 60), note=MARKUP)
    read = Text(cost(answer))
    assert '45 of 60 words selected, 40 found' in read.text
    assert 'encoded in 0.25 s' in read.text and '8 × 5 pixels' in read.text
    assert 'segmented in 0.50 s' in read.text and 'the table has 10 more' in read.text
    assert MARKUP in read.text and 'img' not in read.tags


def test_a_comma_is_said():
    with pytest.warns(UserWarning, match='comma'):
        answer = make_answer([[0, 0]], [f'cat, {MARKUP}'])
    read = Text(cost(answer))
    assert f'"cat, {MARKUP}" is one word here' in read.text and 'img' not in read.tags
    assert 'comma' not in cost(make_answer([[0, 0]], ['cat, wild', 'dog']))


def test_a_problem_is_shown_as_text():
    read = Text(problem(f'entry 1 repeats {MARKUP}'))
    assert read.text == f'entry 1 repeats {MARKUP}' and read.tags == {'div'}


@pytest.mark.parametrize('count, bits', [(5, 8), (847, 16)])
def test_files_to_take_home(tmp_path, count, bits):
    words = [f'w{i}|v{i}' for i in range(count)]
    answer = make_answer([[0, count - 1], [2, count - 1]], words)
    labels, names, overlay = write_files(answer, tmp_path, 0.5)
    assert [p.name for p in (labels, names, overlay)] == [
        'a photo_labels.png', 'a photo_names.json', 'a photo_overlay.png']
    assert (decode_label(labels.read_bytes(), 'x') == answer.seg_map).all()
    assert (np.asarray(Image.open(labels)).dtype == np.uint8) == (bits == 8)
    assert Vocabulary.load(names) == answer.words
    content = json.loads(names.read_text())
    assert content['shares'] == {str(count - 1): 0.5, '0': 0.25, '2': 0.25}
    assert content['none_id'] is None and len(content['palette']) == count
    assert Image.open(overlay).width > 2 * answer.seg_map.shape[1]


# ------------------------------------------------------------------------- models

@pytest.fixture(scope='module')
def predictor():
    torch.manual_seed(0)
    config = Config(dict(
        model=toy_model_config(tag_validation=dict(seen=WORDS[:2], top_k=2)),
        test_pipeline=[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]))
    with pytest.warns(UserWarning, match='untrained'):
        return Predictor(config)


def noise(seed, size=(32, 40)):
    rng = np.random.default_rng(seed)
    return Picture(rng.integers(0, 255, (*size, 3), dtype=np.uint8), f'{seed}.png')


def test_a_question_changes_nothing_for_the_next(predictor):
    served, model = ServedModel(predictor), predictor.model
    before = dict(vars(model)), model.selection.theta, model.vocabulary, model.test_cfg
    words, picture = Vocabulary(WORDS), noise(0)
    own = served.defaults
    assert own == Settings(theta=0.5, validate=True, top_k=2)
    first = served.segment(picture, words, own)
    other = served.segment(picture, Vocabulary(['a', 'b']), Settings(
        theta=0.0, threshold=1.0, background='c', validate=False, top_k=1))
    assert set(np.unique(other.seg_map)) == {2} and other.none_id == 2
    assert (dict(vars(model)), model.selection.theta, model.vocabulary,
            model.test_cfg) == before
    with pytest.raises(ValueError, match='k of tag validation'):
        served.segment(picture, words, Settings(validate=True, top_k=0))
    again = served.segment(picture, words, own)
    assert (again.seg_map == first.seg_map).all()
    result = predictor.predict(picture.pixels, words)
    assert (first.seg_map == result.pred_sem_seg.data[0].numpy()).all()
    assert first.selected == tuple(result.selected_categories)
    scores = predictor.predict(picture.pixels, words, return_scores=True).word_scores
    found = dict(zip(scores.ids.tolist(), scores.maps))
    assert first.maps and set(first.maps) <= set(found)
    for category, own in first.maps.items():
        np.testing.assert_allclose(own, found[category], atol=1e-3)


def test_settings_reach_the_model(predictor):
    served, words, seen = ServedModel(predictor), Vocabulary(WORDS), []

    class Watched(TagValidation):
        def __call__(self, seg_map, *args, **options):
            seen.append((self.top_k, self.seen and self.seen.names))
            return seg_map

    own = predictor.model.tag_validation
    try:
        predictor.model.tag_validation = Watched(seen=WORDS[:2], top_k=2)
        all_words = served.segment(noise(1), words, Settings(theta=0.0, validate=True,
                                                             top_k=4))
        assert seen == [(4, tuple(WORDS[:2]))]
        served.segment(noise(1), words, Settings())
        assert len(seen) == 1
    finally:
        predictor.model.tag_validation = own
    assert all_words.selected == (0, 1, 2, 3, 4)


def test_visitors_at_once_do_not_mix(predictor):
    served = ServedModel(predictor)
    asked = [(noise(i), Vocabulary(WORDS[:2 + i % 3]),
              Settings(theta=(0.0, 0.9)[i % 2], threshold=(0.0, 0.5)[i // 2 % 2]))
             for i in range(12)]
    alone = [served.segment(*question) for question in asked]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda question: served.segment(*question), asked))
    for one, other in zip(alone, together, strict=True):
        assert (one.seg_map == other.seg_map).all()
        assert (one.words, one.none_id, one.selected) == (
            other.words, other.none_id, other.selected)


def test_typed_words_are_not_kept_on_disk(predictor, tmp_path):
    served, bank = ServedModel(predictor), predictor.model.text_bank
    own, bank.root = bank.root, tmp_path
    try:
        typed = Vocabulary(['never', 'seen before'])
        served.encode(typed, Settings())
        served.segment(noise(0), typed, Settings())
        served.encode(Vocabulary.load('mini-20'), Settings(background='typed; too'))
        assert not list(tmp_path.iterdir())
        assert served.encode(Vocabulary.load('mini-20'), Settings()) > 0
        assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1
    finally:
        bank.root = own


def test_a_missing_gradio_names_the_extra(monkeypatch):
    import sys

    from mmseg_dcpclip.apis.web import build_page
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(ModuleNotFoundError, match=re.escape('mmseg-dcpclip[app]')):
        build_page({'a': None})
    with pytest.raises(ValueError, match='needs a model'):
        build_page({})
