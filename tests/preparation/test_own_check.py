"""`dcpclip data check` for a dataset of one's own."""

import re

import numpy as np
import pytest
from data_trees import (
    blocks,
    make_own_tree,
    save_grey_label,
    save_label,
    save_picture,
    save_turned,
)
from mmengine.config import Config
from PIL import Image

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.preparation import check_own
from mmseg_dcpclip.preparation.own import ranges
from mmseg_dcpclip.shipped import config_path

RNG = np.random.default_rng(0)


def check(*words) -> int:
    return main(['data', 'check', *map(str, words), '--workers', '1'])


def report(root, **changes):
    settings = Config.fromfile(config_path('_base_/datasets/own_dataset')
                               ).train_dataloader.dataset.to_dict()
    return check_own('own train', settings | dict(data_root=str(root)) | changes, 1)


@pytest.fixture
def tree(tmp_path):
    return make_own_tree(tmp_path / 'own', num_train=4)


def test_a_sound_folder(tree, capsys):
    for path in (tree / 'labels/train').iterdir():
        save_label(path, blocks([0, 1, 2, 255], (32, 40)).astype(np.uint8))
    for path in (tree / 'labels/val').iterdir():
        save_grey_label(path, blocks([0, 1, 2], (32, 40)), 2)
    assert check(tree) == 0
    out = capsys.readouterr().out
    assert 'own_dataset train: 4 images\n  3 of 3 classes have pixels, 25.0% of' in out
    assert 'own_dataset val: 2 images\n' in out and 'labels: 0..2\n' in out
    assert 'own_dataset test' not in out and 'PROBLEM' not in out


def test_by_a_config(tree, capsys):
    config = config_path('dcpclip_vitb16_own')
    assert check(config, '--cfg-options', f'data_root={tree}') == 0
    out = capsys.readouterr().out
    assert 'dcpclip_vitb16_own train: 4 images' in out
    assert '1 classes have no pixel: dog' in out
    assert check(config, '--cfg-options', f'data_root={tree / "none"}') == 1
    assert 'PROBLEM: no class file' in capsys.readouterr().out
    assert check(config_path('dcpclip_mini')) == 0
    assert 'mini val: 60 images\n' in capsys.readouterr().out


def test_files(tree):
    images, labels = tree / 'images/train', tree / 'labels/train'
    (images / '0.jpg').write_bytes(b'')
    (images / '1.jpg').write_bytes((images / '1.jpg').read_bytes()[:-300])
    (images / 'notes.heic').write_bytes(b'')
    (labels / '2.png').rename(labels / '2.PNG')
    save_label(labels / 'alone.png', np.zeros((4, 4), np.uint8))
    save_picture(images / '3.png', (32, 40), RNG)
    save_label(labels / '0.png', np.zeros((9, 9), np.uint8))
    found = report(tree)
    text = '\n'.join(found.problems)
    assert '0.jpg cannot be read as a picture: the file is empty' in text
    assert '1.jpg cannot be read as a picture' in text
    assert '1 of 5 pictures have no label' in text and '2.PNG is there' in text
    assert '1 labels belong to no picture, such as' in text and 'alone.png' in text
    assert '3.jpg and 3.png would have the same label' in text
    assert len(found.problems) == 5 and found.images == 5
    assert '(1 .heic)' in '\n'.join(found.notes)
    only = report(tree, img_suffix='.png')
    assert '4 files' in only.problems[0] and 'img_suffix=None' in only.problems[0]


@pytest.mark.parametrize('label, names, message', [
    ([0, 255], 'rest\ncrack\n', "only 0 and 255.*'crack', has no pixel.*color_masks"),
    ([1, 2, 3], 'a\nb\nc\n', 'seem to count from 1.*reduce_zero_label=True'),
    ([0, 1, 7, 9], 'a\nb\n', r'values 7, 9 are neither a class \(0..1\) nor .* 255'),
    ([255, 255], 'a\nb\nc\n', 'no pixel has a class')])
def test_values(tree, label, names, message):
    (tree / 'classes.txt').write_text(names)
    for path in (tree / 'labels/train').iterdir():
        save_label(path, blocks(label, (32, 40)).astype(np.uint8))
    (found, ) = report(tree).problems
    assert re.search(message, found), found


def test_the_remedies_help(tree):
    for path in (tree / 'labels/train').iterdir():
        save_label(path, blocks([0, 1, 2, 3], (32, 40)).astype(np.uint8))
    found = report(tree, reduce_zero_label=True)
    assert found.problems == [] and found.pixels.tolist() == [1280, 1280, 1280, 1280]


def test_colours_orientation_and_sizes(tree):
    Image.new('RGB', (40, 32)).save(tree / 'labels/train/0.png')
    turned = Image.fromarray(RNG.integers(0, 256, (32, 40, 3), dtype=np.uint8))
    save_turned(tree / 'images/train/1.jpg', turned, 6)
    found = report(tree)
    first, second = found.problems
    assert '0.png is an image of mode RGB' in first and 'color_masks' in first
    assert r'1.png is (32, 40), its picture' in second and '(40, 32)' in second
    assert '1 pictures carry an orientation' in '\n'.join(found.notes)
    found = report(tree, data_prefix=dict(img_path='images/train', seg_map_path=None))
    assert found.problems == [] and 'there are no labels' in found.notes[0]


def test_missing_folders_and_unknown_words(tree, capsys):
    (tree / 'images/val').rename(tree / 'images/dev')
    assert check(tree) == 1
    assert 'not found: ' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        check(tree / 'nowhere')
    assert 'give a folder or a config' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        check('ade20k_150', '--cfg-options', 'data_root=x')


def test_ranges():
    assert ranges([0, 1, 2, 7, 254, 255]) == '0..2, 7, 254..255'
    assert ranges(range(0, 100, 2)).endswith('38, ...')
