from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
        'a picture-2_labels.png', 'a picture-2_overlay.png', 'a picture_labels.png',
        'a picture_overlay.png']
    printed = capsys.readouterr().out
    assert 'red stripes on blue' in printed and '%' in printed


def test_wide_label_maps(drawn, tmp_path):
    assert segment(drawn, '--vocabulary', 'mini-847', '--config', FROZEN,
                   '--checkpoint', 'none', '--out', tmp_path / 'out') == 0
    labels = np.asarray(Image.open(tmp_path / 'out' / 'a picture_labels.png'))
    assert labels.dtype == np.uint16 or labels.dtype == np.int32
    assert labels.max() < 847


@pytest.mark.parametrize('args, message', [
    (['--words', ' ; '], 'empty'), (['--words', 'a;a'], 'repeats'),
    (['gone.png', '--words', 'a'], 'gone.png'),
    (['--words', 'a', '--config', 'gone.py'], 'gone.py'),
    (['--words', 'a', '--checkpoint', 'gone.pth'], 'gone.pth'),
    (['--vocabulary', 'gone.txt'], 'gone.txt')])
def test_bad_calls_write_nothing(drawn, tmp_path, capsys, args, message):
    out = tmp_path / 'out'
    defaults = [] if '--config' in args else ['--config', FROZEN]
    if '--checkpoint' not in args:
        defaults += ['--checkpoint', 'none']
    assert segment(drawn, *args, *defaults, '--out', out) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_not_a_picture(tmp_path, capsys):
    path = tmp_path / 'text.png'
    path.write_text('no picture')
    assert segment(path, '--words', 'a', '--config', FROZEN, '--checkpoint', 'none',
                   '--out', tmp_path / 'out') == 1
    assert 'text.png' in capsys.readouterr().err


def test_weights_of_the_demo_are_asked_for(drawn, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert segment(drawn, '--words', 'a') == 1
    assert 'run `dcpclip demo` first' in capsys.readouterr().err
    assert segment(drawn, '--words', 'a', '--config', FROZEN) == 1
    assert '--checkpoint none' in capsys.readouterr().err
