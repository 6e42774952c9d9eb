import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_dcpclip import apis
from mmseg_dcpclip.apis import find_pictures
from mmseg_dcpclip.cli import main

ROOT = Path(__file__).resolve().parents[2]
FROZEN = str(ROOT / 'configs' / 'dcpclip_mini_frozen.py')


@pytest.fixture
def drawn(tmp_path):
    """A drawn picture, red stripes on blue above white dots on green."""
    from mmseg_dcpclip.miniworld.draw import Difficulty, draw_picture
    from mmseg_dcpclip.miniworld.surfaces import NAMES
    clean = Difficulty(fields=(1, 1), things=(0, 0), clutter=(0, 0))
    halves = [draw_picture(np.random.default_rng(4), [NAMES.index(name)], 96, clean)[0]
              for name in ('red stripes on blue', 'white dots on green')]
    picture = np.concatenate([halves[0][:48], halves[1][48:]])
    path = tmp_path / 'a picture.png'
    Image.fromarray(picture).save(path)
    return path


def segment(*args):
    """Exit status of `dcpclip segment`."""
    return main(['segment', *map(str, args)])


def test_words_of_ones_own(drawn, tmp_path, capsys):
    out = tmp_path / 'out'
    words = 'red stripes on blue; black grid on pink;white dots on green|polka dots'
    assert segment(drawn, drawn, '--words', words, '--config', FROZEN,
                   '--checkpoint', 'none', '--out', out) == 0
    labels = np.asarray(Image.open(out / 'a picture_labels.png'))
    assert labels.shape == (96, 96) and labels.dtype == np.uint8
    assert (labels[:40] == 0).mean() > 0.9 and (labels[56:] == 2).mean() > 0.9
    assert sorted(p.name for p in out.iterdir()) == [
        'a picture_labels.png', 'a picture_overlay.png']  # given twice, done once
    printed = capsys.readouterr().out
    assert 'red stripes on blue' in printed and '%' in printed


def test_wide_label_maps(drawn, tmp_path):
    assert segment(drawn, '--vocabulary', 'mini-847', '--config', FROZEN,
                   '--checkpoint', 'none', '--out', tmp_path / 'out') == 0
    labels = np.asarray(Image.open(tmp_path / 'out' / 'a picture_labels.png'))
    assert labels.dtype == np.uint16 or labels.dtype == np.int32
    assert labels.max() < 847


# red stripes on blue above, white dots on green below
@pytest.mark.parametrize('background, above, below, printed', [
    ('none', 0, 1, None), ('0', 0, 1, None),
    ('white dots on green', 0, 2, 'none'),
    ('0.05; white dots on green; yellow', 0, 2, 'none'),
    ('red stripes on blue; white dots on green', 0, 2, 'none')])
def test_background(drawn, tmp_path, capsys, background, above, below, printed):
    out = tmp_path / 'out'
    words = 'red stripes on blue; black grid on pink'
    assert segment(drawn, '--words', words, '--background', background, '--config',
                   FROZEN, '--checkpoint', 'none', '--out', out) == 0
    labels = np.asarray(Image.open(out / 'a picture_labels.png'))
    assert labels.dtype == np.uint8
    assert (labels[:40] == above).mean() > 0.9 and (labels[56:] == below).mean() > 0.9
    assert ('%  none' in capsys.readouterr().out) == (printed is not None)


def test_background_of_a_class_file(drawn, tmp_path):
    """A label set brings its own, and a call has the last word."""
    path, out = tmp_path / 'words.json', tmp_path / 'out'
    path.write_text(json.dumps(dict(
        classes=['background', 'red stripes on blue'],
        background=dict(words=['white dots on green'], id=0))))
    for more, below in ([], 0), (['--background', 'white dots on green'], 2):
        assert segment(drawn, '--vocabulary', path, '--config', FROZEN, *more,
                       '--checkpoint', 'none', '--out', out) == 0
        labels = np.asarray(Image.open(out / 'a picture_labels.png'))
        assert (labels[:40] == 1).mean() > 0.9 and (labels[56:] == below).mean() > 0.9


def small_pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(root / name)


WORDS = ['--words', 'red;blue', '--config', FROZEN, '--checkpoint', 'none']


def test_folders_keep_their_order_and_bad_pictures_are_named(tmp_path, capsys):
    root, out = tmp_path / 'photos', tmp_path / 'photos' / 'out'
    small_pictures(root, 'monday/0.jpg', 'tuesday/0.jpg', 'tuesday/0.PNG',
                   '.hidden/1.jpg', 'out/old_overlay.png')
    (root / 'monday' / 'bad.png').write_text('no picture')
    assert segment(root, *WORDS, '--out', out, '--workers', 0) == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert 'bad.png cannot be read' in error and '1 left out' in error
    assert {str(p.relative_to(out)) for p in out.rglob('*_labels.png')} == {
        'monday/0_labels.png', 'tuesday/0.jpg_labels.png', 'tuesday/0.PNG_labels.png'}


def test_names_are_relative_to_what_holds_all(tmp_path):
    small_pictures(tmp_path, 'a/0.png', 'b/c/0.png')
    files = find_pictures([tmp_path / 'a', tmp_path / 'b' / 'c' / '0.png'])
    assert [file.stem for file in files] == ['a/0', 'b/c/0']
    with pytest.raises(ValueError, match='no picture in'):
        (tmp_path / 'empty').mkdir()
        find_pictures([tmp_path / 'empty'])


def test_each_picture_is_written_before_the_next_batch_is_read(tmp_path, monkeypatch):
    small_pictures(tmp_path, *(f'in/{i:02d}.png' for i in range(20)))
    out, ahead = tmp_path / 'out', []
    load = apis.load_image

    def watched(source):
        if isinstance(source, Path):
            ahead.append(len(ahead) - len(list(out.rglob('*_labels.png'))))
        return load(source)

    monkeypatch.setattr(apis, 'load_image', watched)
    assert segment(*(tmp_path / 'in').iterdir(), *WORDS, '--out', out) == 0
    assert len(ahead) == 20 and max(ahead) < 8  # the batch


def test_interrupted(tmp_path, monkeypatch, capsys):
    small_pictures(tmp_path, *(f'in/{i}.png' for i in range(3)))
    write, written = apis.write_prediction, []

    def two_only(*args, **options):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(1)
        return write(*args, **options)

    monkeypatch.setattr(apis, 'write_prediction', two_only)
    assert segment(*(tmp_path / 'in').iterdir(), *WORDS, '--out',
                   tmp_path / 'out') == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        'dcpclip segment: interrupted; 2 of 3 pictures are written to '
        f'{tmp_path / "out"}')


@pytest.mark.parametrize('args, message', [
    (['--words', ' ; '], 'empty'), (['--words', 'a;a'], 'repeats'),
    (['gone.png', '--words', 'a'], 'gone.png'),
    (['--words', 'a', '--config', 'gone.py'], 'gone.py'),
    (['--words', 'a', '--checkpoint', 'gone.pth'], 'gone.pth'),
    (['--vocabulary', 'gone.txt'], 'gone.txt'),
    (['--words', 'a', '--mode', 'best'], "no mode 'best': choose fast, accurate"),
    (['--words', 'a', '--tta', 'turn'], 'choose none, flip, shift, flip+shift'),
    (['--words', 'a;b', '--background', '1.1'], '[0, 1], got 1.1'),
    (['--words', 'a;b', '--background', '-1; sky'], '[0, 1], got -1'),
    (['--words', 'a;b', '--background', '0.1; 0.2'], 'one threshold'),
    (['--words', 'a;b', '--background', ' ; '], 'words or a threshold'),
    (['--words', 'a;b', '--background', 'A; b'], 'also categories')])
def test_bad_calls_write_nothing(drawn, tmp_path, capsys, args, message):
    out = tmp_path / 'out'
    defaults = [] if '--config' in args else ['--config', FROZEN]
    if '--checkpoint' not in args:
        defaults += ['--checkpoint', 'none']
    assert segment(drawn, *args, *defaults, '--out', out) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_bad_picture_among_named_ones(drawn, tmp_path, capsys):
    (tmp_path / 'text.png').write_text('no picture')
    assert segment(drawn, tmp_path / 'text.png', *WORDS, '--out', tmp_path / 'o') == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert 'text.png cannot be read' in error and '1 of 2 pictures are written' in error


def test_not_a_picture(tmp_path, capsys):
    path = tmp_path / 'text.png'
    path.write_text('no picture')
    assert segment(path, '--words', 'a', '--config', FROZEN, '--checkpoint', 'none',
                   '--out', tmp_path / 'out') == 1
    assert 'text.png' in capsys.readouterr().err


def test_weights_that_are_known_need_not_be_given(drawn, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ['--words', 'red stripes on blue; white dots on green; black grid on pink']
    given = {'none': ['--config', FROZEN, '--checkpoint', 'none'],
             'frozen': ['--config', FROZEN], 'bare': [],
             'shipped': ['--checkpoint', 'mmseg_dcpclip://dcpclip_mini']}
    for name, flags in given.items():
        assert segment(drawn, *words, *flags, '--out', name) == 0
    maps = {name: Path(name, 'a picture_labels.png').read_bytes() for name in given}
    assert maps['none'] == maps['frozen'] and maps['bare'] == maps['shipped']
    Path('own.py').write_text(f'_base_ = {str(ROOT / "configs" / "dcpclip_mini.py")!r}')
    assert segment(drawn, *words, '--config', 'own.py') == 1
    assert 'give the weights of own.py' in capsys.readouterr().err


def test_many_pictures_in_a_shell(tmp_path, capsys):
    small_pictures(tmp_path / 'in', 'a/0.png', 'a/1.png', 'b/0.png')
    out, words = tmp_path / 'out', tmp_path / 'words.csv'
    call = (tmp_path / 'in', *WORDS, '--out', out, '--summary', words)
    assert segment(*call, '--workers', 1) == 0
    printed = capsys.readouterr().out
    assert f'{out}: 3 written' in printed and str(words) in printed
    assert len(words.read_text().splitlines()) >= 4
    assert not list(out.rglob('*_overlay.png'))
    assert segment(*call) == 0
    assert '0 written, 3 were there' in capsys.readouterr().out
    other = [*call[:1], '--words', 'red;green', *WORDS[2:], '--out', out]
    assert segment(*other) == 1
    assert 'differs in words' in capsys.readouterr().err


@pytest.mark.parametrize('options, message', [
    (['--summary', 'words.txt'], 'name a .csv or a .parquet file'),
    (['--workers', -1], '--workers -1'), (['--batch-size', 65], 'must be 1 to 64')])
def test_bad_options_of_many_pictures(tmp_path, capsys, options, message):
    small_pictures(tmp_path, 'in/0.png')
    assert segment(tmp_path / 'in', *WORDS, '--out', tmp_path / 'out', *options) == 1
    assert message in capsys.readouterr().err and not (tmp_path / 'out').exists()


def test_nothing_but_bad_pictures(tmp_path, capsys):
    small_pictures(tmp_path, 'in/0.png')
    (tmp_path / 'in' / '0.png').write_bytes(b'')
    assert segment(tmp_path / 'in', *WORDS, '--out', tmp_path / 'out', '--workers',
                   0) == 1
    assert 'error: 1 left out' in capsys.readouterr().err
