import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from data_trees import (
    encode_ade20k,
    make_ade20k_full_tree,
    make_coco_stuff_tree,
    make_pascal_context_tree,
    save_label,
)
from PIL import Image
from scipy.io import savemat

from mmseg_dcpclip.data import read_label_set
from mmseg_dcpclip.datasets.conversion import (
    Job,
    convert_all,
    convert_png,
    read_ade20k_ids,
    read_label_map,
    remap,
    remap_table,
    short_side_512,
)


def contents(folder: Path) -> dict:
    """Relative path -> bytes of all files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes()
            for p in sorted(folder.rglob('*')) if p.is_file()}


def interrupted(job, table, after):
    """A conversion that is interrupted once ``after`` exists."""
    if after.exists():
        raise KeyboardInterrupt
    convert_png(job, table)


def test_coco_stuff_ids():
    """Every pixel value, against the official list of unused ids."""
    table = remap_table(read_label_set('coco_stuff_171')['source_ids'], 256, 255)
    unused = [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]
    used = [i for i in range(182) if i not in unused]
    assert table[used].tolist() == list(range(171))
    assert set(table[unused + list(range(182, 256))]) == {255}


@pytest.mark.parametrize('raw_folder', ['stuffthingmaps_trainval2017',
                                        'stuffthingmaps', 'annotations'])
def test_coco_stuff(tmp_path, load_tool, raw_folder, capsys):
    root = make_coco_stuff_tree(tmp_path / 'coco', convert=False,
                                raw_folder=raw_folder)
    raw = contents(root)
    tool = load_tool('dataset_converters/coco_stuff.py')
    assert tool.main([str(root), '--workers', '2']) == 0
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
    assert tool.main([str(root), '--workers', '2']) == 0
    assert '4 of 4 are done already' in capsys.readouterr().out
    assert contents(root) == after


def test_coco_stuff_check(tmp_path, load_tool, capsys):
    root = make_coco_stuff_tree(tmp_path)
    tool = load_tool('dataset_converters/coco_stuff.py')
    histogram = tmp_path / 'pixels.json'
    check = [str(root), '--check', '--workers', '2', '--histogram', str(histogram)]
    assert tool.main(check) == 1
    out = capsys.readouterr().out
    # Complete but for the number of images.
    assert '4 labelled images, 118287 are published' in out
    assert out.count('PROBLEM') == 2
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
    assert tool.main([str(root), '--check', '--splits', 'train', '--workers', '1']) == 1
    out = capsys.readouterr().out
    assert '3 labelled images' in out
    assert f'cannot decode the label {broken}' in out
    assert 'label id 171 in' in out
    assert '(48, 63)' in out and '(48, 64)' in out


def test_check_accepts_a_complete_split(tmp_path, load_tool, monkeypatch, capsys):
    root = make_coco_stuff_tree(tmp_path)
    tool = load_tool('dataset_converters/coco_stuff.py')
    monkeypatch.setitem(tool.PUBLISHED, ('coco_stuff_171', 'val'), 2)
    assert tool.main([str(root), '--check', '--splits', 'val', '--workers', '1']) == 0
    assert 'PROBLEM' not in capsys.readouterr().out


def test_interrupted_and_run_again(tmp_path, load_tool):
    root = make_coco_stuff_tree(tmp_path, convert=False)
    tool = load_tool('dataset_converters/coco_stuff.py')
    out = root / 'annotations'
    jobs = tool.make_jobs(root, out, 'train')
    table = remap_table(read_label_set('coco_stuff_171')['source_ids'], 256, 255)
    stop = partial(interrupted, table=table, after=jobs[1].targets[0])
    with pytest.raises(KeyboardInterrupt):
        convert_all(stop, jobs, workers=1)
    assert len(list((out / 'train2017').iterdir())) == 2
    first = jobs[0].targets[0]
    written = first.stat().st_mtime_ns
    # What a killed process leaves behind goes away, other people's files stay.
    (out / 'train2017/.000000000003_labelTrainIds.png.4321.tmp').write_bytes(b'half')
    (out / 'train2017/notes.tmp').write_bytes(b'mine')
    assert tool.main([str(root), '--splits', 'train', '--workers', '1']) == 0
    names = sorted(path.name for path in (out / 'train2017').iterdir())
    assert names == sorted([*(job.targets[0].name for job in jobs), 'notes.tmp'])
    assert first.stat().st_mtime_ns == written
    for job in jobs:
        assert Image.open(job.targets[0]).size == (64, 48)


def test_broken_raw_files_are_reported(tmp_path, load_tool, capsys):
    root = make_coco_stuff_tree(tmp_path, convert=False)
    broken = root / 'stuffthingmaps_trainval2017/train2017/000000000002.png'
    broken.write_bytes(broken.read_bytes()[:-20])
    tool = load_tool('dataset_converters/coco_stuff.py')
    assert tool.main([str(root), '--workers', '2']) == 1
    out = capsys.readouterr().out
    assert f'PROBLEM: cannot decode the label {broken}' in out
    assert '5 of 6 converted, 1 could not be' in out
    assert len(list((root / 'annotations/train2017').iterdir())) == 3


@pytest.mark.parametrize('script, args', [
    ('coco_stuff', []), ('ade20k_847', []), ('pascal_context', [])])
def test_missing_raw_folders(tmp_path, load_tool, script, args):
    tool = load_tool(f'dataset_converters/{script}.py')
    message = tool.main([str(tmp_path), *args])
    assert str(tmp_path) in message and ('unpack' in message or 'give' in message)


def test_ade20k_ids(tmp_path):
    ids = np.array([[0, 1, 255, 256, 2978, 3156]])
    save_label(tmp_path / 'a_seg.png', encode_ade20k(ids))
    assert read_ade20k_ids(tmp_path / 'a_seg.png').tolist() == ids.tolist()
    # R // 10: the last digit of R does not count.
    save_label(tmp_path / 'b_seg.png', np.array([[[119, 5, 9]]], dtype=np.uint8))
    assert read_ade20k_ids(tmp_path / 'b_seg.png').tolist() == [[11 * 256 + 5]]
    save_label(tmp_path / 'c_seg.png', np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match='c_seg.png is no RGB image'):
        read_ade20k_ids(tmp_path / 'c_seg.png')


def test_short_side_512():
    assert short_side_512(512, 2000) == (512, 2000)
    assert short_side_512(100, 90) == (100, 90)
    assert short_side_512(1024, 1536) == (512, 768)
    assert short_side_512(600, 520) == (591, 512)


def test_ade20k_problems(tmp_path, load_tool, capsys):
    raw = make_ade20k_full_tree(tmp_path / 'raw', sizes=((20, 30), (22, 30), (24, 30)))
    before = contents(raw)
    segs = sorted(raw.rglob('*_seg.png'))
    segs[0].unlink()
    save_label(segs[1], np.zeros((5, 5, 3), dtype=np.uint8))
    tool = load_tool('dataset_converters/ade20k_847.py')
    out = tmp_path / 'out'
    assert tool.main([str(raw), '--out', str(out), '--workers', '2']) == 1
    printed = capsys.readouterr().out
    assert '1 of 3 converted' in printed and str(segs[0]) in printed
    assert '(22, 30), its label (5, 5)' in printed
    # The download is mended and the rest is converted.
    for path, content in before.items():
        (raw / path).write_bytes(content)
    assert tool.main([str(raw), '--out', str(out), '--workers', '2']) == 0
    assert '1 of 3 are done already' in capsys.readouterr().out
    assert tool.main([str(raw), '--out', str(out), '--check', '--workers', '1']) == 1
    printed = capsys.readouterr().out
    assert '3 labelled images, 2000 are published' in printed
    assert '5 of 847 classes have pixels' in printed
    assert printed.count('PROBLEM') == 1


def test_pascal_context_problems(tmp_path, load_tool, capsys):
    root = make_pascal_context_tree(tmp_path, num_val=4)
    mats = sorted((root / 'trainval').glob('*.mat'))
    mats[0].write_bytes(mats[0].read_bytes()[:60])
    savemat(mats[1], {'Other': np.zeros((2, 2))})
    savemat(mats[2], {'LabelMap': np.full((40, 50), 460, dtype=np.uint16)})
    tool = load_tool('dataset_converters/pascal_context.py')
    assert tool.main([str(root), '--workers', '1']) == 1
    printed = capsys.readouterr().out
    assert f'cannot read {mats[0]}' in printed
    assert f"{mats[1]} holds no 'LabelMap'" in printed
    assert f'{mats[2]} holds the value 460, the format ends at 459' in printed
    assert '1 of 4 converted' in printed
    assert tool.main([str(root), '--check', '--workers', '1']) == 1
    printed = capsys.readouterr().out
    assert 'pascal_context_59 val: 1 images' in printed
    # The tree holds accordion (train id 0), which no val image has.
    assert 'another split was used' not in printed
    assert 'classes that have no pixel in the published val split' in printed


def test_mats_elsewhere(tmp_path, load_tool):
    root = make_pascal_context_tree(tmp_path / 'VOC2010')
    mats = (root / 'trainval').rename(tmp_path / 'mats')
    tool = load_tool('dataset_converters/pascal_context.py')
    assert tool.main([str(root), '--mats', str(mats), '--workers', '1']) == 0
    assert len(list((root / 'annotations_pc459').iterdir())) == 2


def test_remap():
    table = remap_table([7, 2], 10, 255)
    label = np.array([[7, 2], [0, 9]])
    assert remap(label, table, Path('a.png')).tolist() == [[0, 1], [255, 255]]
    with pytest.raises(ValueError, match='a.png holds the value 10'):
        remap(label + 1, table, Path('a.png'))


def test_missing_files_are_no_decoding_problem(tmp_path):
    for read in (read_ade20k_ids, read_label_map):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / 'none')
    job = Job(tmp_path / 'none.png', (tmp_path / 'out/none.png', ))
    problems = convert_all(partial(convert_png, table=np.zeros(256, int)), [job], 1)
    assert len(problems) == 1 and 'none.png' in problems[0]
