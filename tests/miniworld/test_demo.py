import json

import numpy as np

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.cli.common import print_table
from mmseg_dcpclip.miniworld import demo
from mmseg_dcpclip.miniworld.surfaces import NAMES


def test_words_of_the_demo_make_a_vocabulary():
    there = list(NAMES[:850])
    words = demo.absent_words(np.random.default_rng(0), there)
    assert len(Vocabulary.parse('; '.join([*there, *words]))) == 870


def test_table_of_the_demo(tmp_path, capsys):
    paths = {}
    for name, miou in (('frozen CLIP', 10.0), ('DCP-CLIP', 20.126)):
        scores = dict(mIoU=miou, seen_mIoU=1.0, unseen_mIoU=2.0, mIoU_union=3.0)
        paths[name] = tmp_path / f'{name}.json'
        paths[name].write_text(json.dumps(
            dict(benchmarks=[dict(name='mini-20', scores=scores)])))
    header, rows = demo.compare(paths)
    print_table(header, rows)
    lines = demo.markdown_table(header, rows).splitlines()
    assert lines[2:] == ['| mini-20 | frozen CLIP | 10.00 | 1.00 | 2.00 | 3.00 |',
                         '| mini-20 | DCP-CLIP | 20.13 | 1.00 | 2.00 | 3.00 |']
    assert 'mini-20' in capsys.readouterr().out
