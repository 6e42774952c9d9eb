"""Reports and verdicts from given records."""

import pytest

from mmseg_dcpclip.reproduction import tables
from mmseg_dcpclip.reproduction.layout import grids, markdown
from mmseg_dcpclip.reproduction.paper import make_table
from mmseg_dcpclip.reproduction.report import judge, report
from mmseg_dcpclip.reproduction.tables import Claim

NAMES = tables.WORLDS['mini'].benchmarks


def record(unseen, seconds=10.0, **scores):
    """A run with the same unseen mIoU everywhere."""
    tests = {name: dict(scores=dict(mIoU=unseen + 1, unseen_mIoU=unseen, **scores),
                        seconds_per_image=0.5) for name in NAMES}
    return dict(train=dict(seconds=seconds, GiB=1.0), tests=tests)


def verdict(first, second, **options):
    claim = Claim('text', 'a', 'b', **options)
    records = dict(a=dict(enumerate(first)), b=dict(enumerate(second)))
    return judge(claim, records, 'mini')


def test_raises_only_beyond_the_spread():
    low = [record(50), record(51)]
    result = verdict([record(53), record(55)], low)
    assert result['verdict'] == 'holds' and result['seeds'] == 2
    assert result['mean'] == 3.5 and result['differences'] == {0: 3, 1: 4}
    assert result['std'] == pytest.approx(0.5**0.5)
    # the mean rises by 1, but from -2 to 4
    assert verdict([record(48), record(55)], low)['verdict'] == 'fails'
    assert verdict(low, [record(53), record(55)])['verdict'] == 'fails'


def test_other_rules():
    base = [record(50), record(51)]
    lower = [record(49.6), record(50.6)]
    assert verdict(lower, base, rule='keeps', margin=0.5)['verdict'] == 'holds'
    assert verdict(lower, base, rule='keeps', margin=0.3)['verdict'] == 'fails'
    assert verdict(lower, base, rule='loses nothing')['verdict'] == 'fails'
    assert verdict([record(49), record(53)], base,
                   rule='loses nothing')['verdict'] == 'holds'
    quick, slow = [record(1, 5.0)] * 2, [record(1, 9.0)] * 2
    options = dict(rule='saves', measure='train_seconds')
    assert verdict(quick, slow, **options)['mean'] == 4
    assert verdict(quick, slow, **options)['verdict'] == 'holds'
    assert verdict(slow, quick, **options)['verdict'] == 'fails'


def test_not_run_and_too_few():
    assert verdict([], [record(1)])['verdict'] == 'not run'
    assert verdict([record(9)], [record(1)])['verdict'] == 'needs two seeds'
    assert verdict([record(9)], [record(1)], rule='keeps')['verdict'] == 'holds'
    # only seeds that both have are compared
    claim = Claim('text', 'a', 'b')
    assert judge(claim, dict(a={0: record(9)}, b={1: record(1)}),
                 'mini')['verdict'] == 'not run'


def test_report_and_markdown():
    records = dict(tga_ca={0: record(50.0), 1: record(52.0), 7: record(0.0)})
    content = report(make_table(4, 'mini'), 'mini', records, [0, 1])
    row = content['rows'][1]
    assert row['seeds'] == [0, 1]  # not the one that was not asked for
    assert row['cells'][0]['paper'] == 12.1
    assert row['cells'][0]['ours']['mean'] == 52.0
    assert row['benchmarks']['mini-20']['unseen_mIoU']['mean'] == 51.0
    text = markdown(content)
    assert '| CA | 2 | 12.1 | 52.00 ± 1.41 | 19.3 |' in text
    assert '| none | 0 | 11.4 | not run | 18.5 | not run |' in text
    assert 'GT-present' in text and 'mini-847 for A-847' in text
    assert text.count('| not run |\n') >= 3  # claims


def test_rows_of_other_methods_and_given_figures():
    content = report(
        make_table(2, 'mini'), 'mini', {}, [0], {tables.FULL: dict(total=4.5)})
    rows = grids(content)['Paper and ours']
    assert rows[3][:4] == ['OVSeg', '', '408.9', '']
    assert rows[3][6] == ''  # the paper has no training time of OVSeg
    ours = rows[-1]
    assert '4.50' in ours and ours.count('not run') == 5
    assert 'Unseen classes, ours' not in grids(content)
