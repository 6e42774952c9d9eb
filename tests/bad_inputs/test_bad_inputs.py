"""What is wrong is named, on the API and the command line: the table, row by row."""

import errno
import json
import os
import re
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import table
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis import load_image
from mmseg_dcpclip.cli import main
from mmseg_dcpclip.datasets import LoadWideAnnotations

FROZEN = str(Path(__file__).resolve().parents[2] / 'configs/dcpclip_mini_frozen.py')
MODEL = ['--config', FROZEN, '--checkpoint', 'none']


@pytest.fixture(scope='module')
def predictor():
    return Predictor(FROZEN)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with some bad files and one picture, the current one."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save('p.png')
    Path('torn.png').write_bytes(Path('p.png').read_bytes()[:40])
    Path('empty.png').touch()
    Path('zeros.jpg').write_bytes(bytes(100))
    for name in ('text.png', 'words.xls'):
        Path(name).write_text('cat')
    Path('empty.py').touch()
    for name in ('folder', 'empty_folder'):
        Path(name).mkdir()
    return tmp_path


def told(capsys, words, status=1):
    """The last line of what a command says; no traceback before it."""
    try:
        code = main(words)
    except SystemExit as leaving:
        code = leaving.code
    error = capsys.readouterr().err
    assert code == status, error
    assert 'Traceback' not in error
    last = error.strip().splitlines()[-1]
    if status == 1:
        assert last.startswith(f'dcpclip {words[0]}: error: ')
    return last


def ids(rows):
    return [f'{i}-{str(row[0])[:20]!a}' for i, row in enumerate(rows)]


def test_there_are_a_hundred():
    rows = [value for name, value in vars(table).items()
            if name.isupper() and isinstance(value, list)]
    assert sum(map(len, rows)) >= 100


@pytest.mark.parametrize('source, kind, message', table.PICTURES,
                         ids=ids(table.PICTURES))
def test_pictures(place, predictor, capsys, source, kind, message):
    with pytest.raises(kind, match=message):
        load_image(source)
    with pytest.raises(kind, match=message):
        predictor.predict([source], ['cat'])
    if isinstance(source, str) and source != 'folder':
        assert re.search(message, told(capsys, [
            'segment', source, '--words', 'cat;dog', *MODEL]))


@pytest.mark.parametrize('words, kind, message', table.WORDS, ids=ids(table.WORDS))
def test_words(place, predictor, capsys, words, kind, message):
    with pytest.raises(kind, match=message):
        Vocabulary.of(words)
    with pytest.raises(kind, match=message):
        predictor.predict('p.png', words)
    typed = None
    if isinstance(words, str):
        typed = ['--vocabulary', words]
    elif isinstance(words, list) and words and all(
            isinstance(w, str) and w.strip() for w in words):
        typed = ['--words', ';'.join(words)]
    if typed:
        assert re.search(message, told(capsys, ['segment', 'p.png', *typed, *MODEL]))


@pytest.mark.parametrize('name, content, message', table.CLASS_FILES,
                         ids=ids(table.CLASS_FILES))
def test_class_files(place, capsys, name, content, message):
    Path(name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Vocabulary.load(name)
    line = told(capsys, ['segment', 'p.png', '--vocabulary', name, *MODEL])
    assert re.search(message, line) and name in line


@pytest.mark.parametrize('content, message', table.CONFIGS, ids=ids(table.CONFIGS))
def test_configs(place, capsys, content, message):
    if content is not None:
        Path('config.py').write_text(content)
    line = told(capsys, ['segment', 'p.png', '--words', 'cat;dog', '--config',
                         'config.py', '--checkpoint', 'none'])
    assert re.search(message, line)


@pytest.mark.parametrize('option, status, message', table.OPTIONS,
                         ids=ids(table.OPTIONS))
def test_options(place, capsys, option, status, message):
    line = told(capsys, ['segment', 'p.png', '--words', 'cat;dog', *MODEL,
                         '--cfg-options', option], status)
    assert re.search(message, line)


@pytest.mark.parametrize('content, message', table.CHECKPOINTS,
                         ids=ids(table.CHECKPOINTS))
def test_checkpoints(place, capsys, content, message):
    if content is not None:
        Path('w.pth').write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Predictor(FROZEN, 'w.pth')
    line = told(capsys, ['segment', 'p.png', '--words', 'cat;dog', '--config', FROZEN,
                         '--checkpoint', 'w.pth'])
    assert re.search(message, line) and 'w.pth' in line


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """A model in the form of Hugging Face Hub."""
    folder = tmp_path_factory.mktemp('saved') / 'm'
    Predictor('dcpclip_mini').save_pretrained(folder, delta=True)
    return folder


@pytest.mark.parametrize('name, content, kind, message', table.HUB, ids=[
    f'{i}-{row[0]}' for i, row in enumerate(table.HUB)])
def test_saved_models(place, saved, capsys, name, content, kind, message):
    shutil.copytree(saved, 'm')
    path = Path('m', name)
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with safe_open(path, 'pt') as file:
            sources = json.loads(file.metadata()['clip'])
        save_file(load_file(path), path,
                  dict(clip=json.dumps([{**source, **content} for source in sources])))
    with pytest.raises(kind, match=message):
        Predictor.from_pretrained('m')
    line = told(capsys, ['segment', 'p.png', '--words', 'cat;dog', '--config', 'm'])
    assert re.search(message, line)


@pytest.mark.parametrize('name, message', table.HUB_NAMES, ids=ids(table.HUB_NAMES))
def test_names_of_saved_models(place, name, message):
    with pytest.raises(FileNotFoundError, match=message):
        Predictor.from_pretrained(name)


@pytest.mark.parametrize('words, status, message', table.COMMANDS,
                         ids=ids(table.COMMANDS))
def test_commands(place, capsys, words, status, message):
    words = [FROZEN if word == 'MINI' else word for word in words.split()]
    assert re.search(message, told(capsys, words, status))


@pytest.mark.parametrize('content, classes, message', table.LABELS,
                         ids=ids(table.LABELS))
def test_labels(place, content, classes, message):
    if isinstance(content, bytes):
        Path('label.png').write_bytes(content)
    else:
        Image.fromarray(content).save('label.png')
    with pytest.raises(ValueError, match=message):
        LoadWideAnnotations()(dict(
            seg_map_path='label.png', img_path='p.png', ori_shape=(4, 4),
            num_classes=classes))


def test_interrupted_training(place, capsys, monkeypatch):
    from mmseg_dcpclip.engine import AnywhereRunner

    def interrupt(cls, config):
        raise KeyboardInterrupt

    monkeypatch.setattr(AnywhereRunner, 'from_cfg', classmethod(interrupt))
    assert main(['train', FROZEN, '--work-dir', 'work']) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        'dcpclip train: interrupted; no checkpoint was written yet')
    Path('work').mkdir()
    Path('work/last_checkpoint').write_text('work/iter_8.pth')
    assert main(['train', FROZEN, '--work-dir', 'work']) == 130
    assert '--resume goes on from work/iter_8.pth' in capsys.readouterr().err


def test_keys_under_none_switch_a_part_on(place, capsys):
    """The frozen config has tag_validation=None."""
    words = ['segment', 'p.png', '--words', 'cat;dog', *MODEL, '--cfg-options']
    assert main([*words, 'model.tag_validation.seen=mini-seen']) == 0
    line = told(capsys, [*words, 'model.tag_validation.seen=no_such'])
    assert "'no_such' is neither a label set" in line


def test_full_disk(place, capsys, monkeypatch):
    """Said with the file and with what is saved; no half-written file stays."""
    def full(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, 'write_bytes', full)
    line = told(capsys, ['segment', 'p.png', '--words', 'cat;dog', *MODEL, '--out',
                         'out'])
    assert re.search(r'out/p_labels.png: No space left.*free some space', line)
    assert not list(Path('out').iterdir())


def test_debug_shows_where(place):
    with pytest.raises(FileNotFoundError):
        main(['segment', 'gone.png', '--words', 'cat;dog', *MODEL, '--debug'])


def test_commas_are_pointed_out_in_a_line(place, capsys, monkeypatch):
    # pytest records warnings; here they are shown
    monkeypatch.setattr(warnings, 'showwarning', lambda *args: sys.stderr.write(
        warnings.formatwarning(*args[:4])))
    assert main(['segment', 'p.png', '--words', 'red, blue, green', *MODEL]) == 0
    note, = [line for line in capsys.readouterr().err.splitlines() if 'note' in line]
    assert note.startswith("dcpclip segment: note: 'red, blue, green'")


def test_paths_with_commas():
    import argparse

    from mmseg_dcpclip.cli.common import add_data_root
    parser = argparse.ArgumentParser()
    add_data_root(parser)
    args = parser.parse_args(['--data-root', 'a=/x,y/z', 'b=/p=q'])
    assert args.data_root == {'a': '/x,y/z', 'b': '/p=q'}
