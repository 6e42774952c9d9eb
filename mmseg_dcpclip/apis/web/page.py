"""The wiring of the page: which part of it feeds which function."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...extras import require
from ...vocabulary import Vocabulary
from . import answers
from .asking import (
    MAX_WORDS,
    Settings,
    as_typed,
    label_sets,
    read_picture,
    read_words,
    uploaded,
)
from .models import ServedModel

if TYPE_CHECKING:
    import gradio as gr

TITLE = 'DCP-CLIP: a picture and any words'
OPACITY = 0.55
KEPT = 3600  # seconds that a result and its files stay on the server
SESSIONS = 100  # whose last result is kept, up to 30 MB each
WAITING = 50  # questions in the queue
STYLE = (Path(__file__).with_name('page.css')).read_text(encoding='utf-8')
EMPTY = 'Give a picture and words, and press Segment. Or choose an example.'
# Drawn masks are dimmed by the browser: nothing is computed again.
DIM = ('(value) => { document.documentElement.style.setProperty('
       '"--mask-opacity", value); }')
# On a phone the answer is below what was asked.
SHOW = ('() => { const said = document.querySelector("#status"), '
        'top = said.getBoundingClientRect().top; '
        'if (top < 0 || top > 0.6 * innerHeight) said.scrollIntoView(); }')


def build_page(models: Mapping[str, ServedModel],
               examples: Sequence[tuple[Path, str]] = ()) -> 'gr.Blocks':
    """Build the page; ``launch_page`` serves it.

    Args:
        models: What can be chosen, by the name shown; the first is the default.
        examples: Pictures to try, with their words as typed.

    Raises:
        ValueError: There is no model.
        ModuleNotFoundError: Gradio is not installed; names the extra.
    """
    if not models:
        raise ValueError('the page needs a model')
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'  # read when it is imported, too
    gr = require('gradio', 'app')
    first = next(iter(models.values())).defaults
    reporter, uploads = gr.Progress(), gr.utils.get_upload_folder()

    def answer(model: str, picture: dict | None, text: str, theta: float,
               threshold: float, background: str, validate: bool, top_k: float,
               opacity: float, progress: Any = reporter) -> Iterator[tuple]:
        """Answer a question; whatever is wrong with it is said on the page."""
        try:
            progress(0.05, 'reading the picture')
            read = read_picture(uploaded(picture, uploads))
            words = read_words(text)
            served = models[model]
            settings = Settings(theta, threshold or 0.0, background or '', validate,
                                int(top_k or 0))
            if served.defaults.theta is None:
                settings = replace(settings, theta=None)
            progress(0.2, f'encoding {len(words):,} words')
            seconds = served.encode(words, settings)
            progress(0.6, 'segmenting')
            result = served.segment(read, words, settings)
            result.word_seconds = seconds
            progress(0.9, 'drawing')
            shown, parts, colours = answers.masks(result)
        except Exception as error:
            yield _refusal(gr, error)
            return
        with TemporaryDirectory() as folder:  # gradio takes copies
            files = answers.write_files(result, Path(folder), opacity)
            yield (answers.cost(result),
                   gr.AnnotatedImage((shown, parts), color_map=colours),
                   gr.AnnotatedImage(visible=False), gr.Column(visible=True),
                   answers.table(result), result,
                   *map(str, files))

    def show_map(result: answers.Answer | None,
                 event: gr.SelectData) -> Any:  # type: ignore[name-defined]
        """How probable the chosen word is at each place."""
        if result is None:
            return gr.skip()
        shown, parts, colours = answers.word_map(result, event.index)
        return gr.AnnotatedImage((shown, parts), color_map=colours, visible=True)

    def redraw(result: answers.Answer | None, opacity: float) -> Iterator[Any]:
        """The overlay for download in another opacity."""
        if result is None:
            yield gr.skip()
            return
        with TemporaryDirectory() as folder:
            path = Path(folder, f'{result.picture.stem}_overlay.png')
            answers.draw(result, opacity).save(path)
            yield str(path)

    def fill(name: str | None) -> Any:
        return as_typed(Vocabulary.load(name)) if name in label_sets() else gr.skip()

    def choose(name: str) -> tuple:
        own = models[name].defaults
        return (gr.Slider(value=own.theta or 0.0, interactive=own.theta is not None),
                own.threshold, own.background, own.validate, own.top_k)

    with gr.Blocks(title=TITLE, analytics_enabled=False,
                   delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(f'# {TITLE}\nName what you look for; every pixel gets the word '
                    'that fits best.')
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                picture = gr.Image(
                    label='Picture', type='filepath', height=300,
                    sources=['upload', 'clipboard', 'webcam'], elem_id='picture')
                words = gr.Textbox(
                    label='Words', lines=4, max_lines=10, elem_id='words',
                    placeholder='cat; dog|puppy; grass',
                    info='; or a new line between categories, | between synonyms. '
                    f'Up to {MAX_WORDS:,}.')
                label_set = gr.Dropdown(
                    label_sets(), value=None, label='Or the words of a label set',
                    elem_id='label-set')
                model = gr.Dropdown(
                    list(models), label='Model', visible=len(models) > 1,
                    elem_id='model')
                button = gr.Button('Segment', variant='primary', elem_id='run')
                with gr.Accordion('Settings', open=False, elem_id='settings'):
                    theta = gr.Slider(
                        0, 1, first.theta or 0.0, step=0.01, label='theta',
                        info='Words whose score for the whole picture is below it are '
                        'selected only where they win a patch; 0 selects all.',
                        interactive=first.theta is not None, elem_id='theta')
                    threshold = gr.Slider(
                        0, 1, first.threshold, step=0.01, label='None below',
                        info='Pixels whose best probability is below it are of none '
                        'of the words; 0: every pixel is of one.', elem_id='threshold')
                    background = gr.Textbox(
                        first.background, label='Words of no interest', max_lines=2,
                        placeholder='sky; wall',
                        info='Where they win, a pixel is of none of the words.',
                        elem_id='background')
                    validate = gr.Checkbox(
                        first.validate, label='Tag validation',
                        info='Look at every region once more, and rename it if its '
                        'word is not among the k most similar.', elem_id='validate')
                    top_k = gr.Number(first.top_k, label='k', minimum=1, precision=0,
                                      elem_id='top-k')
            with gr.Column(scale=3, min_width=320):
                status = gr.HTML(EMPTY, elem_id='status')
                drawing = gr.AnnotatedImage(label='Masks', format='png',
                                            elem_id='masks')
                chosen = gr.AnnotatedImage(label='Probability of a word', format='png',
                                           visible=False, elem_id='map')
                with gr.Column(visible=False) as results:
                    opacity = gr.Slider(0, 1, OPACITY, step=0.05, label='Opacity',
                                        elem_id='opacity')
                    with gr.Row():
                        downloads = [
                            gr.DownloadButton(text, size='sm', min_width=100,
                                              elem_id=name)
                            for text, name in (('Label map (PNG)', 'labels'),
                                               ('Names (JSON)', 'names'),
                                               ('Overlay (PNG)', 'overlay'))]
                    shares = gr.Dataframe(
                        headers=['Id', 'Word', 'Share', 'Selected'], interactive=False,
                        datatype=['number', 'str', 'str', 'str'], wrap=True,
                        label='Share of each word', elem_id='shares', buttons=['copy'],
                        column_widths=['12%', '42%', '20%', '26%'])
        state = gr.State(time_to_live=KEPT)
        inputs = [model, picture, words, theta, threshold, background, validate, top_k,
                  opacity]
        outputs = [status, drawing, chosen, results, shares, state, *downloads]
        # One question at a time for all models and visitors; gradio hands the picture
        # over as it came, and what is wrong with it is told here.
        ask = dict(inputs=inputs, outputs=outputs, concurrency_limit=1,
                   concurrency_id='model', preprocess=False, show_progress='full',
                   show_progress_on=[drawing], api_visibility='private')
        gr.on([button.click, words.submit], answer, **ask).then(None, js=SHOW)
        quick = dict(queue=False, show_progress='hidden', api_visibility='private')
        drawing.select(show_map, state, chosen, **quick)
        label_set.input(fill, label_set, words, **quick)
        model.input(choose, model, [theta, threshold, background, validate, top_k],
                    **quick)
        opacity.change(None, opacity, js=DIM)
        opacity.change(redraw, [state, opacity], downloads[2], show_progress='hidden',
                       trigger_mode='always_last', api_visibility='private')
        if examples:
            shown = gr.Examples([[str(path), text] for path, text in examples],
                                [picture, words], label='Examples',
                                api_visibility='private')
            shown.load_input_event.then(answer, **ask).then(None, js=SHOW)
    page.queue(max_size=WAITING)
    return page


def _refusal(gr: Any, error: Exception) -> tuple:
    """The page without a result, and why."""
    text = str(error)
    if not isinstance(error, ValueError):  # it may name the server's files
        logging.getLogger(__name__).exception('a question could not be answered')
        text = 'Something went wrong in the program; its terminal says what.'
    return (answers.problem(text), None, gr.AnnotatedImage(visible=False),
            gr.Column(visible=False), None, None, None, None, None)


def launch_page(page: 'gr.Blocks', **options: Any) -> Any:
    """Serve a page; nothing on it is fetched from elsewhere.

    Args:
        page: From ``build_page``.
        options: Of ``gr.Blocks.launch``, such as ``server_port`` and ``share``.

    Returns:
        What ``gr.Blocks.launch`` does.
    """
    gr = require('gradio', 'app')
    theme = gr.themes.Default(font=['system-ui', 'sans-serif'],
                              font_mono=['ui-monospace', 'monospace'])
    return page.launch(theme=theme, css=STYLE, ssr_mode=False, footer_links=[],
                       max_file_size='64mb', state_session_capacity=SESSIONS,
                       **options)
