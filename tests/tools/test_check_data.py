import json

import pytest
from data_trees import (
    make_ade20k_150_tree,
    make_coco_stuff_tree,
    make_voc_tree,
)
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def mmseg_scope():
    init_default_scope('mmseg')


def test_nothing_is_there(tmp_path, load_tool, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_tool('check_data.py').main([]) == 1
    out = capsys.readouterr().out
    for name in ('coco_stuff_171 train', 'coco_stuff_171 val', 'ade20k_150 val',
                 'ade20k_847 val', 'pascal_context_59 val', 'pascal_context_459 val',
                 'pascal_voc_20 val'):
        assert f'{name}: 0 images\n  PROBLEM: not found: data/' in out
    assert 'coco_stuff.py data/coco_stuff164k' in out
    assert list(tmp_path.iterdir()) == []


def test_what_to_run_next(tmp_path, load_tool, capsys):
    root = make_coco_stuff_tree(tmp_path / 'coco', convert=False)
    tool = load_tool('check_data.py')
    args = ['coco_stuff_171', '--data-root', f'coco_stuff_171={root}']
    assert tool.main(args) == 1
    out = capsys.readouterr().out
    # The raw data is unpacked: only the converter is left to run.
    assert 'NEXT: get' not in out
    assert f'NEXT: run python tools/dataset_converters/coco_stuff.py {root}' in out
    assert 'ade20k' not in out


def test_labels_are_counted(tmp_path, load_tool, capsys, monkeypatch):
    roots = dict(ade20k_150=make_ade20k_150_tree(tmp_path / 'ade'),
                 pascal_voc_20=make_voc_tree(tmp_path / 'voc'))
    tool = load_tool('check_data.py')
    for name in roots:
        monkeypatch.setitem(tool.PUBLISHED, (name, 'val'), 2)
    histogram = tmp_path / 'pixels.json'
    args = [*roots, '--data-root', *(f'{n}={r}' for n, r in roots.items()),
            '--labels', '--workers', '1', '--histogram', str(histogram)]
    assert tool.main(args) == 0
    out = capsys.readouterr().out
    assert 'PROBLEM' not in out and 'NEXT' not in out
    assert '5 of 150 classes have pixels, 20.0% of the pixels are ignored' in out
    assert '3 of 20 classes have pixels, 40.0% of the pixels are ignored' in out
    counted = json.loads(histogram.read_text())
    assert counted['pascal_voc_20 val'][19] == dict(
        id=19, name='tvmonitor', pixels=2 * 30 * 8)


def test_unknown_name(load_tool, capsys):
    with pytest.raises(SystemExit):
        load_tool('check_data.py').main(['ade20k'])
    assert 'choose from coco_stuff_171' in capsys.readouterr().err
