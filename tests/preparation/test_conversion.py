from functools import partial
from pathlib import Path

import numpy as np
import pytest
from data_trees import make_coco_stuff_tree
from PIL import Image

from mmseg_dcpclip.preparation import (
    Conversion,
    FileJob,
    coco_stuff,
    convert_all,
    convert_png,
    remap,
    remap_table,
)
from mmseg_dcpclip.preparation.ade20k_847 import read_ade20k_ids
from mmseg_dcpclip.preparation.pascal_context import read_label_map
from mmseg_dcpclip.vocabulary import read_label_set


def interrupted(job, table, after):
    """A conversion that is interrupted once ``after`` exists."""
    if after.exists():
        raise KeyboardInterrupt
    convert_png(job, table)


def test_remap():
    table = remap_table([7, 2], 10, 255)
    label = np.array([[7, 2], [0, 9]])
    assert remap(label, table, Path('a.png')).tolist() == [[0, 1], [255, 255]]
    with pytest.raises(ValueError, match='a.png holds the value 10'):
        remap(label + 1, table, Path('a.png'))


def test_coco_stuff_ids():
    """Every pixel value, against the official list of unused ids."""
    table = remap_table(read_label_set('coco_stuff_171')['source_ids'], 256, 255)
    unused = [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]
    used = [i for i in range(182) if i not in unused]
    assert table[used].tolist() == list(range(171))
    assert set(table[unused + list(range(182, 256))]) == {255}


def test_interrupted_and_run_again(tmp_path, capsys):
    root = make_coco_stuff_tree(tmp_path, convert=False)
    out = root / 'annotations'
    jobs = coco_stuff.make_jobs(root, out, 'train')
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
    assert coco_stuff.convert(root, splits=['train'], workers=1) == [
        Conversion('coco_stuff_171 train', jobs=4, done_before=2)]
    names = sorted(path.name for path in (out / 'train2017').iterdir())
    assert names == sorted([*(job.targets[0].name for job in jobs), 'notes.tmp'])
    assert first.stat().st_mtime_ns == written
    for job in jobs:
        assert Image.open(job.targets[0]).size == (64, 48)
    # The library tells nothing by itself.
    assert capsys.readouterr().out == ''


def test_a_picture_whose_label_is_missing_is_done_again(tmp_path):
    jobs = [FileJob(tmp_path / 'raw', (tmp_path / f'{i}.jpg', tmp_path / f'{i}.png'))
            for i in range(3)]
    for target in (*jobs[0].targets, jobs[1].targets[0]):
        target.touch()
    done = []
    found = convert_all(done.append, jobs, workers=1)
    assert done == jobs[1:] and found.done_before == 1


def test_nothing_is_converted_if_a_split_is_missing(tmp_path):
    root = make_coco_stuff_tree(tmp_path, num_val=0, convert=False)
    with pytest.raises(FileNotFoundError, match=r'no raw val2017/\*\.png'):
        coco_stuff.convert(root, workers=1)
    assert not (root / 'annotations').exists()


def test_missing_files_are_no_decoding_problem(tmp_path):
    for read in (read_ade20k_ids, read_label_map):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / 'none')
    job = FileJob(tmp_path / 'none.png', (tmp_path / 'out/none.png', ))
    problems = convert_all(
        partial(convert_png, table=np.zeros(256, int)), [job], 1).problems
    assert len(problems) == 1 and 'none.png' in problems[0]
