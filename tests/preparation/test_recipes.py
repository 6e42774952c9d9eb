import pytest
from data_trees import make_ade20k_150_tree, make_pascal_context_tree

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.preparation import (
    PREPARATIONS,
    Report,
    check_dataset,
    next_steps,
)
from mmseg_dcpclip.vocabulary import LABEL_SETS


def test_every_benchmark_has_a_recipe():
    # `dcpclip data check` names the label sets, to be quick.
    assert tuple(PREPARATIONS) == LABEL_SETS


@pytest.mark.parametrize('command', sorted(
    {recipe.command for recipe in PREPARATIONS.values() if recipe.command}))
def test_recommended_commands_exist(command, capsys):
    name, *words = command.split()
    assert name == 'dcpclip'
    with pytest.raises(SystemExit) as end:
        main([*words, '--help'])
    assert end.value.code == 0
    assert ' '.join([name, *words[:3]]) in capsys.readouterr().out


def test_next_steps(tmp_path):
    root = str(make_pascal_context_tree(tmp_path / 'VOC2010'))
    run = f'run dcpclip data convert pascal_context {root}'
    assert next_steps('pascal_context_59', root) == [run]
    get, again = next_steps('pascal_context_459', 'x')
    assert get.startswith('get VOC2010 as x,') and again == run.replace(root, 'x')
    (get, ) = next_steps('ade20k_150', 'x')
    assert get == 'get ADEChallengeData2016.zip, unpacked as x'


def test_labels_that_were_not_read_are_not_counted(tmp_path, capsys):
    root = make_ade20k_150_tree(tmp_path)
    (report, ), steps = check_dataset('ade20k_150', str(root))
    assert report.title == 'ade20k_150 val' and report.images == 2
    assert len(report.problems) == 1 and len(steps) == 1
    assert report.pixels is None and report.histogram() == []
    assert capsys.readouterr().out == ''


def test_long_lists_of_problems_are_cut():
    lines = Report('a val', problems=[f'p{i}' for i in range(7)]).lines(shown=2)
    assert lines == ['a val: 0 images', '  PROBLEM: p0', '  PROBLEM: p1',
                     '  ... and 5 more problems']
