"""Labels from masks in colours."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_trees import save_palette_label, save_picture
from PIL import Image

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.preparation.color_masks import ids_of_colors, read_colors

TABLE = 'name,r,g,b\nroad,128,64,128\ntraffic light,250,170,30\nignore,0,0,0\n'
COLORS = np.array([[[128, 64, 128], [250, 170, 30], [0, 0, 0]]], np.uint8)


def convert(*words) -> int:
    return main(['data', 'convert', 'color_masks', *map(str, words), '--workers', '1'])


@pytest.mark.parametrize('name, text', [
    ('a.csv', TABLE), ('a.txt', TABLE.replace(',', '\t')),
    ('b.txt', 'road 128 64 128\ntraffic light 250 170 30\n\nIgnore 0 0 0\n'),
    ('a.json', json.dumps({'road': [128, 64, 128], 'traffic light': [250, 170, 30],
                           'ignore': [0, 0, 0]})),
    ('b.json', json.dumps([['road', 128, 64, 128], ['traffic light', 250, 170, 30],
                           ['ignore', 0, 0, 0]]))])
def test_tables(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    table = read_colors(path)
    assert table.names == ('road', 'traffic light')
    assert ids_of_colors(COLORS, table, 255, False, path).tolist() == [[0, 1, 255]]


@pytest.mark.parametrize('name, text, message', [
    ('a.csv', 'road,1,2\nsky,1,2,3,4\n', 'line 2: expected a name and three numbers'),
    ('a.csv', 'name,r,g,b\nroad,1,2,256\n', 'line 2.*0..255'),
    ('a.csv', 'road,1,2,3\nsky,1,2,3\n', r"line 2: the colour \(1, 2, 3\).*'road' alr"),
    ('a.csv', 'name,r,g,b\n', 'names no class'), ('a.json', '{', 'cannot be read')])
def test_bad_tables(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_colors(tmp_path / name)
    assert name in str(error.value)


def test_masks_become_a_dataset(tmp_path, capsys):
    masks, out = tmp_path / 'masks', tmp_path / 'own'
    (tmp_path / 'colors.csv').write_text(TABLE)
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        save_picture(out / f'images/{split}/a.jpg', (4, 6), rng)
        (masks / split).mkdir(parents=True)
        Image.fromarray(COLORS.repeat(4, 0).repeat(2, 1)).save(masks / split / 'a.png')
    words = (masks, '--colors', tmp_path / 'colors.csv', '--out', out)
    assert convert(*words) == 0
    assert f'run dcpclip data check {out}' in capsys.readouterr().out
    assert (out / 'classes.txt').read_text() == 'road\ntraffic light\n'
    label = np.array(Image.open(out / 'labels/val/a.png'))
    assert label.tolist() == [[0, 0, 1, 1, 255, 255]] * 4
    assert main(['data', 'check', str(out), '--workers', '1']) == 0
    assert '2 of 2 classes have pixels' in capsys.readouterr().out
    (out / 'classes.txt').write_text('sky\n')
    assert convert(*words) == 1
    assert 'has other classes than' in capsys.readouterr().err


def test_grey_masks_of_two_classes(tmp_path):
    (tmp_path / 'colors.txt').write_text('rest 0 0 0\ncrack 255 255 255\n')
    (tmp_path / 'masks').mkdir()
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / 'masks/a.png')
    assert convert(tmp_path / 'masks', '--colors', tmp_path / 'colors.txt', '--out',
                   tmp_path / 'own') == 0
    assert np.array(Image.open(tmp_path / 'own/labels/a.png')).tolist() == [[0, 1]]


def test_palettes_are_read_by_their_colours(tmp_path):
    (tmp_path / 'colors.csv').write_text('a,37,91,153\nb,0,0,0\n')
    save_palette_label(tmp_path / 'masks/a.png', np.array([[0, 1]]))
    assert convert(tmp_path / 'masks', '--colors', tmp_path / 'colors.csv', '--out',
                   tmp_path / 'own') == 0
    assert np.array(Image.open(tmp_path / 'own/labels/a.png')).tolist() == [[1, 0]]


def test_unknown_colours(tmp_path, capsys):
    (tmp_path / 'colors.csv').write_text('a,37,91,153\n')
    save_palette_label(tmp_path / 'masks/a.png', np.array([[0, 1, 2, 2]]))
    words = (tmp_path / 'masks', '--colors', tmp_path / 'colors.csv', '--out',
             tmp_path / 'own')
    assert convert(*words) == 1
    out = capsys.readouterr().out
    assert 'a.png holds 2 colours that are not in the table' in out
    assert '(74, 182, 50) in 2 pixels' in out and '--ignore-unknown' in out
    assert convert(*words, '--ignore-unknown') == 0
    label = np.array(Image.open(tmp_path / 'own/labels/a.png'))
    assert label.tolist() == [[255, 0, 255, 255]]


def test_many_classes_have_sixteen_bits(tmp_path):
    (tmp_path / 'colors.csv').write_text(
        ''.join(f'kind {i},{i // 256},{i % 256},9\n' for i in range(300)))
    table = read_colors(tmp_path / 'colors.csv')
    mask = np.array([[[1, 43, 9], [0, 0, 9]]], np.uint8)
    (tmp_path / 'masks').mkdir()
    Image.fromarray(mask).save(tmp_path / 'masks/a.png')
    assert convert(tmp_path / 'masks', '--colors', tmp_path / 'colors.csv', '--out',
                   tmp_path / 'own') == 0
    label = Image.open(tmp_path / 'own/labels/a.png')
    assert label.mode == 'I;16' and np.array(label).tolist() == [[299, 0]]
    assert ids_of_colors(mask, table, 65535, False, Path('a')).tolist() == [[299, 0]]
