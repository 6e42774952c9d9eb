import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_trees import (
    make_ade20k_150_tree,
    make_ade20k_full_tree,
    make_coco_stuff_tree,
    make_pascal_context_tree,
    make_voc_tree,
    save_label,
)
from scipy.io import savemat

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.preparation import PUBLISHED

ROOT = Path(__file__).parents[2]
CONVERTERS = ['coco_stuff', 'ade20k_847', 'pascal_context', 'coco_object', 'cityscapes']


def check(*words) -> int:
    return main(['data', 'check', *map(str, words)])


def convert(*words) -> int:
    return main(['data', 'convert', *map(str, words)])


def contents(folder: Path) -> dict:
    """Relative path -> bytes of all files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes()
            for p in sorted(folder.rglob('*')) if p.is_file()}


def test_nothing_is_there(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check() == 1
    out = capsys.readouterr().out
    for name in ('coco_stuff_171 train', 'coco_stuff_171 val', 'ade20k_150 val',
                 'ade20k_847 val', 'pascal_context_59 val', 'pascal_context_459 val',
                 'pascal_voc_20 val', 'pascal_voc_21 val', 'pascal_context_60 val',
                 'coco_object_81 val', 'cityscapes_19 val'):
        assert f'{name}: 0 images\n  PROBLEM: not found: data/' in out
    assert 'coco_stuff data/coco_stuff164k' in out
    assert list(tmp_path.iterdir()) == []


def test_what_to_run_next(tmp_path, capsys):
    root = make_coco_stuff_tree(tmp_path / 'coco', convert=False)
    assert check('coco_stuff_171', '--data-root', f'coco_stuff_171={root}') == 1
    out = capsys.readouterr().out
    # The raw data is unpacked: only the converter is left to run.
    assert 'NEXT: get' not in out
    assert f'  NEXT: run dcpclip data convert coco_stuff {root}\n' in out
    assert 'ade20k' not in out


def test_labels_are_counted(tmp_path, capsys, monkeypatch):
    roots = dict(ade20k_150=make_ade20k_150_tree(tmp_path / 'ade'),
                 pascal_voc_20=make_voc_tree(tmp_path / 'voc'))
    for name in roots:
        monkeypatch.setitem(PUBLISHED, (name, 'val'), 2)
    histogram = tmp_path / 'pixels.json'
    assert check(*roots, '--data-root', *(f'{n}={r}' for n, r in roots.items()),
                 '--labels', '--workers', 1, '--histogram', histogram) == 0
    out = capsys.readouterr().out
    assert 'PROBLEM' not in out and 'NEXT' not in out
    assert '5 of 150 classes have pixels, 20.0% of the pixels are ignored' in out
    assert '3 of 20 classes have pixels, 40.0% of the pixels are ignored' in out
    assert out.endswith(f'pixels of each class: {histogram}\n')
    counted = json.loads(histogram.read_text())
    assert counted['pascal_voc_20 val'][19] == dict(
        id=19, name='tvmonitor', pixels=2 * 30 * 8)


def test_folder_that_looks_like_a_number(tmp_path, capsys, monkeypatch):
    make_voc_tree(tmp_path / '2012')
    monkeypatch.chdir(tmp_path)
    assert check('pascal_voc_20', '--data-root', 'pascal_voc_20=2012') == 1
    assert 'pascal_voc_20 val: 2 images' in capsys.readouterr().out


@pytest.mark.parametrize('words', [
    ['ade20k'], ['ade20k_150', '--data-root', 'ade20k=x']])
def test_unknown_name(words, capsys):
    with pytest.raises(SystemExit) as end:
        check(*words)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert 'no dataset named ade20k;' in err and 'choose from coco_stuff_171' in err


@pytest.mark.parametrize('raw_folder', ['stuffthingmaps_trainval2017',
                                        'stuffthingmaps', 'annotations'])
def test_coco_stuff(tmp_path, raw_folder, capsys):
    root = make_coco_stuff_tree(tmp_path / 'coco', convert=False,
                                raw_folder=raw_folder)
    raw = contents(root)
    assert convert('coco_stuff', root, '--workers', 2) == 0
    assert '6 of 6 converted' in capsys.readouterr().out
    # The raw data is untouched, and only labels are added.
    after = contents(root)
    assert {path: after[path] for path in raw} == raw
    new = sorted(set(after) - set(raw))
    assert new == [f'annotations/{split}/{i + 1:012d}_labelTrainIds.png'
                   for split, count in (('train2017', 4), ('val2017', 2))
                   for i in range(count)]
    # The same as the converted tree of one process.
    single = make_coco_stuff_tree(tmp_path / 'single')
    assert after[new[0]] == (single / new[0]).read_bytes()
    # Once more: nothing to do.
    assert convert('coco_stuff', root, '--workers', 2) == 0
    assert '4 of 4 are done already' in capsys.readouterr().out
    assert contents(root) == after


def test_coco_stuff_check(tmp_path, capsys):
    root = make_coco_stuff_tree(tmp_path)
    histogram = tmp_path / 'pixels.json'
    assert convert('coco_stuff', root, '--check', '--workers', 2,
                   '--histogram', histogram) == 1
    out = capsys.readouterr().out
    # Complete but for the number of images.
    assert '4 labelled images, 118287 are published' in out
    assert out.count('PROBLEM') == 2
    assert out.endswith(f'pixels of each class: {histogram}\n')
    pixels = {row['name']: row['pixels']
              for row in json.loads(histogram.read_text())['coco_stuff_171 val']}
    assert sum(pixels.values()) == 2 * 48 * 64
    # One of seven stripes is 181, three are ignored.
    assert pixels['wood'] >= 2 * 48 * 9 and pixels['ignored'] >= 2 * 48 * 27

    broken = root / 'annotations/train2017/000000000001_labelTrainIds.png'
    broken.write_bytes(broken.read_bytes()[:40])
    save_label(root / 'annotations/train2017/000000000002_labelTrainIds.png',
               np.full((48, 64), 171, dtype=np.uint8))
    save_label(root / 'annotations/train2017/000000000003_labelTrainIds.png',
               np.zeros((48, 63), dtype=np.uint8))
    (root / 'annotations/train2017/000000000004_labelTrainIds.png').unlink()
    assert convert('coco_stuff', root, '--check', '--splits', 'train',
                   '--workers', 1) == 1
    out = capsys.readouterr().out
    assert '3 labelled images' in out
    assert f'cannot decode the label {broken}' in out
    assert 'label id 171 in' in out
    assert '(48, 63)' in out and '(48, 64)' in out


def test_check_accepts_a_complete_split(tmp_path, monkeypatch, capsys):
    root = make_coco_stuff_tree(tmp_path)
    monkeypatch.setitem(PUBLISHED, ('coco_stuff_171', 'val'), 2)
    assert convert('coco_stuff', root, '--check', '--splits', 'val',
                   '--workers', 1) == 0
    assert 'PROBLEM' not in capsys.readouterr().out


def test_labels_elsewhere(tmp_path, monkeypatch, capsys):
    root = make_coco_stuff_tree(tmp_path / 'coco', convert=False)
    words = ['coco_stuff', root, '--out', tmp_path / 'labels', '--splits', 'val',
             '--workers', 1]
    assert convert(*words) == 0
    assert len(list((tmp_path / 'labels/val2017').iterdir())) == 2
    assert not (root / 'annotations').exists()
    monkeypatch.setitem(PUBLISHED, ('coco_stuff_171', 'val'), 2)
    assert convert(*words, '--check') == 0
    assert 'coco_stuff_171 val: 2 images' in capsys.readouterr().out


def test_broken_raw_files_are_reported(tmp_path, capsys):
    root = make_coco_stuff_tree(tmp_path, convert=False)
    broken = root / 'stuffthingmaps_trainval2017/train2017/000000000002.png'
    broken.write_bytes(broken.read_bytes()[:-20])
    assert convert('coco_stuff', root, '--workers', 2) == 1
    out = capsys.readouterr().out
    assert f'PROBLEM: cannot decode the label {broken}' in out
    assert '5 of 6 converted, 1 could not be' in out
    assert len(list((root / 'annotations/train2017').iterdir())) == 3


@pytest.mark.parametrize('dataset', CONVERTERS)
def test_missing_raw_folders(tmp_path, dataset, capsys):
    assert convert(dataset, tmp_path) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith('dcpclip data: error: ')
    assert str(tmp_path) in message and ('unpack' in message or 'give' in message)
    # The flag stands behind the subcommand as well as before it.
    with pytest.raises(FileNotFoundError):
        convert(dataset, tmp_path, '--debug')


def test_ade20k_problems(tmp_path, capsys):
    raw = make_ade20k_full_tree(tmp_path / 'raw', sizes=((20, 30), (22, 30), (24, 30)))
    before = contents(raw)
    segs = sorted(raw.rglob('*_seg.png'))
    segs[0].unlink()
    save_label(segs[1], np.zeros((5, 5, 3), dtype=np.uint8))
    words = ['ade20k_847', raw, '--out', tmp_path / 'out', '--workers']
    assert convert(*words, 2) == 1
    printed = capsys.readouterr().out
    assert '1 of 3 converted' in printed and str(segs[0]) in printed
    assert '(22, 30), its label (5, 5)' in printed
    # The download is mended and the rest is converted.
    for path, content in before.items():
        (raw / path).write_bytes(content)
    assert convert(*words, 2) == 0
    assert '1 of 3 are done already' in capsys.readouterr().out
    assert convert(*words, 1, '--check') == 1
    printed = capsys.readouterr().out
    assert '3 labelled images, 2000 are published' in printed
    assert '5 of 847 classes have pixels' in printed
    assert printed.count('PROBLEM') == 1


def test_pascal_context_problems(tmp_path, capsys):
    root = make_pascal_context_tree(tmp_path, num_val=4)
    mats = sorted((root / 'trainval').glob('*.mat'))
    mats[0].write_bytes(mats[0].read_bytes()[:60])
    savemat(mats[1], {'Other': np.zeros((2, 2))})
    savemat(mats[2], {'LabelMap': np.full((40, 50), 460, dtype=np.uint16)})
    assert convert('pascal_context', root, '--workers', 1) == 1
    printed = capsys.readouterr().out
    assert f'cannot read {mats[0]}' in printed
    assert f"{mats[1]} holds no 'LabelMap'" in printed
    assert f'{mats[2]} holds the value 460, the format ends at 459' in printed
    assert '1 of 4 converted' in printed
    assert convert('pascal_context', root, '--check', '--workers', 1) == 1
    printed = capsys.readouterr().out
    assert 'pascal_context_59 val: 1 images' in printed
    # The tree holds accordion (train id 0), which no val image has.
    assert 'another split was used' not in printed
    assert 'classes that have no pixel in the published val split' in printed


def test_mats_elsewhere(tmp_path):
    root = make_pascal_context_tree(tmp_path / 'VOC2010')
    mats = (root / 'trainval').rename(tmp_path / 'mats')
    assert convert('pascal_context', root, '--mats', mats, '--workers', 1) == 0
    assert len(list((root / 'annotations_pc459').iterdir())) == 2


def test_speed(capsys):
    assert main(['data', 'speed', '--images', '2', '--workers', '1']) == 0
    out = capsys.readouterr().out
    assert 'bare loop, one process: ' in out and 'converter: ' in out
    assert out.count(' images per second\n') == 2


def test_help_is_quick():
    code = ("import sys; from mmseg_dcpclip.cli import main\n"
            "try: main(['data', 'convert', 'coco_stuff', '--help'])\n"
            "except SystemExit: sys.exit(bool({'torch', 'mmseg'} & set(sys.modules)))\n"
            "sys.exit(3)")
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize('dataset', [*CONVERTERS, 'color_masks'])
def test_scripts_are_the_commands(dataset):
    script = ROOT / f'tools/dataset_converters/{dataset}.py'
    done = subprocess.run(
        [sys.executable, str(script), '--help'], capture_output=True, text=True,
        env=os.environ | dict(PYTHONPATH=str(ROOT), COLUMNS='100'))
    assert done.returncode == 0, done.stderr
    assert f'dcpclip data convert {dataset}' in done.stdout
