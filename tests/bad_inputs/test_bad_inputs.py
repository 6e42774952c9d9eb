"""What is wrong is named, on the API and the command line: the table, row by row."""

import errno
import json
import logging
import os
import re
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import table
import torch
from data_trees import blocks, make_own_tree, save_label, save_turned
from mmengine.config import Config
from mmseg.registry import TRANSFORMS
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toys import TORCH

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis import load_image
from mmseg_dcpclip.cli import main
from mmseg_dcpclip.datasets import LoadWideAnnotations
from mmseg_dcpclip.datasets.label_transforms import check_label_transforms
from mmseg_dcpclip.preparation import check_own
from mmseg_dcpclip.shipped import config_path

FROZEN = str(Path(__file__).resolve().parents[2] / 'configs/dcpclip_mini_frozen.py')
MODEL = ['--config', FROZEN, '--checkpoint', 'none']


@pytest.fixture(scope='module')
def predictor():
    return Predictor(FROZEN)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with some bad files and one picture, the current one."""
    monkeypatch.chdir(tmp_path)
    # loggers of earlier tests write to streams that pytest has closed
    monkeypatch.setattr(logging, 'raiseExceptions', False)
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


def test_as_many_as_the_docs_say():
    rows = [value for name, value in vars(table).items()
            if name.isupper() and isinstance(value, list)]
    assert sum(map(len, rows)) >= 190


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
    if words.startswith('app') and status == 1:
        pytest.importorskip('gradio')
    if words.startswith('export') and TORCH < (2, 6):
        pytest.skip(f'torch {torch.__version__} cannot export')
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


@pytest.fixture
def own(place):
    return make_own_tree(place / 'own', num_train=4)


def assert_checked(root, capsys, message, **changes):
    """What `data check` finds, by the function and on the command line."""
    settings = Config.fromfile(config_path('_base_/datasets/own_dataset')
                               ).train_dataloader.dataset.to_dict()
    report = check_own('own', settings | dict(data_root=str(root)) | changes, 1)
    assert re.search(message, '\n'.join(report.problems), re.S), report.problems
    options = [f'{key}={value}' for key, value in changes.items()]
    assert main(['data', 'check', str(root), '--workers', '1',
                 *(['--cfg-options', *options] if options else [])]) == 1
    out = capsys.readouterr().out
    assert re.search(f'PROBLEM: [^\n]*({message})', out), out


@pytest.mark.parametrize('values, names, message', table.LABEL_VALUES,
                         ids=ids(table.LABEL_VALUES))
def test_values_of_labels(own, capsys, values, names, message):
    (own / 'classes.txt').write_text(names.replace(' ', '\n'))
    for path in (own / 'labels/train').iterdir():
        save_label(path, blocks(values, (32, 40)).astype(np.uint8))
    assert_checked(own, capsys, message)


def harms(root):
    """What each row of ``FOLDERS`` does."""
    picture, label = root / 'images/train/0.jpg', root / 'labels/train/0.png'
    grey = np.zeros((9, 9), np.uint8)
    return {
        'one picture is turned': lambda: save_turned(
            picture, Image.new('RGB', (40, 32)), 6),
        'one picture is empty': lambda: picture.write_bytes(b''),
        'one picture is torn': lambda: picture.write_bytes(picture.read_bytes()[:200]),
        'one label is RGB': lambda: Image.new('RGB', (40, 32)).save(label),
        'one label is torn': lambda: label.write_bytes(label.read_bytes()[:40]),
        'one label is smaller': lambda: save_label(label, grey),
        'one label is gone': label.unlink,
        'one label is .PNG': lambda: label.rename(label.with_suffix('.PNG')),
        'one label is alone': lambda: save_label(label.with_name('alone.png'), grey),
        'two pictures, one name': lambda: Image.new('RGB', (40, 32)).save(
            picture.with_suffix('.png')),
        'no pictures': lambda: shutil.rmtree(picture.parent),
        'no classes': (root / 'classes.txt').unlink,
    }


@pytest.mark.parametrize('harm, message', table.FOLDERS, ids=ids(table.FOLDERS))
def test_folders(own, capsys, harm, message):
    harms(own)[harm]()
    assert_checked(own, capsys, message)


def test_other_endings(own, capsys):
    picture = own / 'images/train/0.jpg'
    picture.rename(picture.with_suffix('.JPG'))
    assert_checked(own, capsys, '1 files in .*left out .1 .JPG.*img_suffix=None',
                   img_suffix='.jpg')


@pytest.mark.parametrize('transform, message', table.FILLS, ids=ids(table.FILLS))
def test_fill_values(place, transform, message):
    vocabulary = Vocabulary([f'k{i}' for i in range(256)])
    with pytest.raises(ValueError, match=message):
        check_label_transforms([TRANSFORMS.build(transform)], vocabulary, 65535)


@pytest.mark.parametrize('name, text, message', table.COLOR_TABLES,
                         ids=ids(table.COLOR_TABLES))
def test_tables_of_colours(place, capsys, name, text, message):
    Path('masks').mkdir()
    Path('p.png').rename('masks/p.png')
    if name is not None:
        Path(name).write_text(text)
    # the table stops all, a mask is told among others
    assert main(['data', 'convert', 'color_masks', 'masks', '--colors',
                 name or 'c.csv', '--out', 'out', '--workers', '1']) == 1
    assert re.search(message, ''.join(capsys.readouterr()))


@pytest.mark.parametrize('name, content, message', table.BANKS, ids=ids(table.BANKS))
def test_damaged_banks(place, name, content, message):
    """Said, and the entry is made anew: the next run finds it sound."""
    words = ['encode', FROZEN, '--vocabulary', 'mini-20', '--bank', 'bank']
    assert main(words) == 0
    path, = Path('bank').rglob(name)
    sound = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.warns(UserWarning, match=f'no sound entry of the text bank.*{message}'):
        assert main(words) == 0
    assert path.read_bytes() == sound


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
