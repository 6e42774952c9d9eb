"""The summary of several benchmarks, as data and as it is printed."""

import json

import pytest
from data_trees import make_ade20k_150_tree

from mmseg_dcpclip.cli.benchmark_table import print_summary
from mmseg_dcpclip.evaluation.benchmarks import (
    Benchmark,
    build_datasets,
    summary_rows,
    write_summary,
)
from mmseg_dcpclip.vocabulary import Vocabulary


def dataset(kind, root):
    return dict(dataset=dict(
        type=kind, data_root=str(root), pipeline=[], data_prefix=dict(
            img_path='images/validation', seg_map_path='annotations/validation')))


@pytest.fixture
def benchmarks(tmp_path):
    root = make_ade20k_150_tree(tmp_path / 'ade')
    there = Benchmark('there', dataset('ADE20K150Dataset', root), {})
    gone = Benchmark('gone', dataset('ADE20K150Dataset', tmp_path / 'nowhere'), {})
    return [there, gone]


def test_missing_data_is_noted_and_told(benchmarks, tmp_path, capsys):
    said = []
    build_datasets(benchmarks, said.append)
    there, gone = benchmarks
    folder = str(tmp_path / 'nowhere/images/validation')
    assert len(there.dataset) == 2 and there.missing is None
    assert gone.dataset is None and gone.missing == folder
    line, = said
    assert line.startswith(f'gone: not found: {folder};')
    build_datasets(benchmarks)
    assert capsys.readouterr().out == ''  # the library prints nothing


def test_rows_and_table(benchmarks, tmp_path, capsys):
    build_datasets(benchmarks)
    benchmarks[0].scores = dict(mIoU=50.0, hIoU=float('nan'), aAcc=60.0)
    rows = summary_rows(benchmarks)
    assert rows[0] == dict(
        name='there', note='', images=2, classes=150,
        vocabulary_digest=Vocabulary.load('ade20k_150').digest,
        scores=dict(mIoU=50.0, hIoU=None, aAcc=60.0))
    note = f'not found: {benchmarks[1].missing}'
    assert rows[1] == dict(name='gone', note=note, scores={})
    path = tmp_path / 'new' / 'benchmarks.json'
    write_summary(benchmarks, path, checkpoint='a.pth')
    assert json.loads(path.read_text()) == dict(checkpoint='a.pth', benchmarks=rows)
    assert capsys.readouterr().out == ''
    print_summary(benchmarks, path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == 'Open-vocabulary segmentation (percent)'
    row, = (line for line in lines if 'there' in line)
    assert [cell.strip() for cell in row.split('│')[1:-1]] == [
        'there', '50.00', '', '', '', 'nan', '', '']
    assert lines[-1] == f'written to {path}'
