"""The web page in a real browser: Chromium without a screen."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ports import free_port

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis.web import ServedModel, build_page, launch_page
from mmseg_dcpclip.miniworld.demo import draw_examples

pytest.importorskip('gradio', reason='gradio is not installed: [app]')
playwright = pytest.importorskip('playwright.sync_api',
                                 reason='playwright is not installed: [dev]')
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='there is no chromium here')

WORDS = 'black stripes on blue; white dots on pink|pink with dots; red bars on grey'
DESK, PHONE = dict(width=1280, height=900), dict(width=390, height=844)
SLOW = 60_000  # ms, on a busy machine


@pytest.fixture(scope='module')
def predictor():
    return Predictor('dcpclip_mini_frozen')


@pytest.fixture(scope='module')
def url(tmp_path_factory):
    """The page, served by this process."""
    examples = [(drawn.path, '; '.join(drawn.words))
                for drawn in draw_examples(tmp_path_factory.mktemp('examples'), 1)]
    model = ServedModel(Predictor('dcpclip_mini_frozen'))
    page = build_page({'small': model}, examples)
    launch_page(page, server_name='127.0.0.1', server_port=free_port(), quiet=True,
                prevent_thread_lock=True)
    yield page.local_url
    page.close(verbose=False)


@pytest.fixture(scope='module')
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM,
                                          args=['--no-sandbox'])
        yield chromium
        chromium.close()


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    """Noise of another size and content each."""
    folder, rng = tmp_path_factory.mktemp('pictures'), np.random.default_rng(0)
    paths = [folder / f'picture {i}.png' for i in range(2)]
    for i, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 255, (48 + 8 * i, 64, 3), np.uint8)).save(path)
    return paths


class Visitor:
    """A browser window of its own, and what one does in it."""

    def __init__(self, browser, url, viewport=DESK):
        self.context = browser.new_context(viewport=viewport)
        self.page = self.context.new_page()
        self.far, self.dialogs = [], []
        self.page.on('request', lambda request: self.far.append(request.url)
                     if not request.url.startswith((url, 'data:', 'blob:')) else None)
        self.page.on('dialog', lambda dialog: (self.dialogs.append(dialog.message),
                                               dialog.dismiss()))
        self.page.set_default_timeout(SLOW)
        self.page.goto(url)
        self.page.wait_for_selector('#run')

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.context.close()

    def give(self, picture=None, words=None):
        if picture is not None:
            clear = self.page.locator('#picture button[aria-label="Clear"]')
            if clear.count():
                clear.click()
            with self.page.expect_response(lambda r: '/upload?' in r.url):
                self.page.set_input_files('#picture input[type=file]', picture)
            self.page.wait_for_selector('#picture img', state='attached')
        if words is not None:
            self.page.fill('#words textarea', words)

    def run(self):
        self.page.click('#run')

    def said(self, kind='status'):
        """What the page says once it has answered."""
        return self.page.locator(f'#status [role={kind}]').inner_text()

    def legend(self):
        return self.page.locator('#masks .legend-item').all_inner_texts()

    def download(self, name):
        with self.page.expect_download() as waiting:
            self.page.click(f'#{name}')
        return Path(waiting.value.path()), waiting.value.suggested_filename


def test_from_a_picture_and_words_to_masks(browser, url, pictures, predictor):
    words = Vocabulary.parse(WORDS)
    own = predictor.predict(pictures[0], words).pred_sem_seg.data[0].numpy()
    with Visitor(browser, url) as visitor:
        page = visitor.page
        visitor.give(pictures[0], WORDS)
        visitor.run()
        assert 'of 3 words selected' in (said := visitor.said())
        assert 'encoded in' in said and '64 × 48 pixels segmented in' in said
        share = [f'{100 * (own == i).mean():.1f}%' for i in range(3)]
        ids = sorted(np.unique(own), key=lambda i: -(own == i).sum())
        assert visitor.legend() == [f'{words.names[i]} {share[i]}' for i in ids]
        table = page.locator('#shares').inner_text()
        assert all(name in table for name in words.names)

        path, name = visitor.download('labels')
        assert name == 'picture 0_labels.png'
        assert (np.asarray(Image.open(path)) == own).all()
        path, name = visitor.download('names')
        assert name == 'picture 0_names.json'
        assert json.loads(path.read_text())['classes'] == [
            'black stripes on blue', 'white dots on pink|pink with dots',
            'red bars on grey']
        before = Image.open(visitor.download('overlay')[0]).tobytes()

        # opacity and a word's own mask: nothing is predicted again
        masks = page.locator('#masks .mask')
        page.fill('#opacity input[type=number]', '0.2')
        page.press('#opacity input[type=number]', 'Enter')
        playwright.expect(masks.first).to_have_css('opacity', '0.2')
        page.locator('#masks .legend-item').nth(1).focus()  # by keyboard
        playwright.expect(masks.nth(0)).to_have_css('opacity', '0')
        playwright.expect(masks.nth(1)).to_have_css('opacity', '0.7')
        # its probabilities, by choosing it
        page.locator('#masks .legend-item').nth(1).click()
        chosen = page.locator('#map .legend-item')
        playwright.expect(chosen).to_have_text(visitor.legend()[1])
        assert visitor.said() == said
        page.wait_for_timeout(500)
        assert Image.open(visitor.download('overlay')[0]).tobytes() != before
        assert visitor.far == []


def test_settings(browser, url, pictures, predictor):
    words = Vocabulary.parse(WORDS)
    own = predictor.predict(pictures[0], words, background='0.6; wall')
    with Visitor(browser, url) as visitor:
        page = visitor.page
        page.click('#label-set input')
        page.get_by_role('option', name='mini-20').click()
        playwright.expect(page.locator('#words textarea')).to_have_value(
            '\n'.join(Vocabulary.load('mini-20').names))
        visitor.give(pictures[0], WORDS)
        page.click('#settings button')
        page.fill('#theta input[type=number]', '0')
        page.fill('#threshold input[type=number]', '0.6')
        page.fill('#background input, #background textarea', 'wall')
        page.check('#validate input')
        page.fill('#top-k input', '3')
        visitor.run()
        assert '3 of 3 words selected' in visitor.said()
        seg_map = np.asarray(Image.open(visitor.download('labels')[0]))
        assert ((seg_map == 3) == (own.pred_sem_seg.data[0].numpy() == 3)).all()


@pytest.mark.filterwarnings('ignore:Image size')
def test_bad_input(browser, url, pictures, tmp_path):
    (tmp_path / 'text.png').write_text('no picture')
    Image.new('L', (8000, 6250), 90).save(tmp_path / 'large.png', compress_level=1)
    with Visitor(browser, url) as visitor:
        alert = visitor.page.locator('#status [role=alert]')
        for picture, words, message in (
                (None, 'sky', 'There is no picture'),
                (pictures[0], ' ; ', 'There are no words'),
                (None, 'a;a', "repeats entry 0: 'a'"),
                (None, ';'.join(f'word {i}' for i in range(5000)),
                 '5,000 words are more'),
                (None, '<b>a</b>;<b>A</b>', "entry 1, '<b>A</b>', is the same"),
                (tmp_path / 'text.png', 'sky', 'text.png cannot be read as a picture: '
                 'no known picture format')):
            visitor.give(picture, words)
            visitor.run()
            playwright.expect(alert).to_contain_text(message, timeout=SLOW)
            assert visitor.legend() == []
        visitor.give(tmp_path / 'large.png')
        visitor.run()
        assert ('8,000 × 6,250 pixels was reduced to 2,048 × 1,600'
                in visitor.said())
        assert Image.open(visitor.download('labels')[0]).size == (2048, 1600)


def test_markup_is_text(browser, url, pictures):
    words = ['<img src=x onerror=alert(1)>', '<script>alert(2)</script>',
             '[a](javascript:alert(3))']
    with Visitor(browser, url) as visitor:
        visitor.give(pictures[0], ';'.join(words))
        visitor.page.click('#settings button')
        visitor.page.fill('#theta input[type=number]', '0')
        visitor.run()
        visitor.said()
        table = visitor.page.locator('#shares').inner_text()
        assert all(word in table for word in words)
        assert all(any(text.startswith(word) for word in words)
                   for text in visitor.legend())
        assert visitor.dialogs == []
        assert visitor.page.locator('img[src=x]').count() == 0


def test_two_visitors_at_once(browser, url, pictures, predictor):
    asked = [(pictures[0], WORDS), (pictures[1], 'green grid on red; yellow crosses')]
    with Visitor(browser, url) as one, Visitor(browser, url) as other:
        for visitor, question in zip((one, other), asked):
            visitor.give(*question)
        for visitor in (one, other):
            visitor.run()
        for visitor, (picture, text) in zip((one, other), asked):
            words = Vocabulary.parse(text)
            assert f'of {len(words)} words selected' in visitor.said()
            own = predictor.predict(picture, words).pred_sem_seg.data[0].numpy()
            assert (np.asarray(Image.open(visitor.download('labels')[0])) == own).all()
            names = json.loads(visitor.download('names')[0].read_text())['classes']
            assert names == text.split('; ')


def test_an_example_on_a_phone(browser, url):
    with Visitor(browser, url, PHONE) as visitor:
        visitor.page.locator('tbody tr').first.click()
        assert 'words selected' in visitor.said()
        assert len(visitor.legend()) > 2
        width = visitor.page.evaluate('document.documentElement.scrollWidth')
        assert width <= PHONE['width']
        for ask in (lambda: None, visitor.run):
            ask()
            playwright.expect(visitor.page.locator('#status')).to_be_in_viewport()
            playwright.expect(visitor.page.locator('#masks img').first
                              ).to_be_in_viewport()
        assert visitor.far == []
