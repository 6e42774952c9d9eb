import json
import shlex

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


def test_commands_to_go_on_with(tmp_path):
    """They are commands, and their words fit."""
    from importlib import import_module

    from mmseg_dcpclip.cli import COMMANDS
    from mmseg_dcpclip.cli.common import make_parser
    from mmseg_dcpclip.cli.demo import next_commands
    commands = next_commands(tmp_path / 'p.png', tmp_path / 'w.pth')
    assert {'segment', 'hub'} <= {command.split()[1] for command in commands}
    for command in commands:
        program, name, *words = shlex.split(command)
        assert program == 'dcpclip' and name in COMMANDS
        parser = make_parser(name, None)
        import_module(f'mmseg_dcpclip.cli.{name}').add_arguments(parser)
        parser.parse_args(words)


def test_examples_are_drawn_with_their_words(tmp_path):
    """The shipped model finds what is there, and the drawn words say what is."""
    from mmseg_dcpclip import Predictor
    one, two = demo.draw_examples(tmp_path, 2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ['0.png', '1.png']
    again = demo.draw_examples(tmp_path / 'again', 1)[0]
    assert again.path.read_bytes() == one.path.read_bytes() and again.words == one.words
    predictor = Predictor('dcpclip_mini')
    for drawn in (one, two):
        result = predictor.predict(drawn.path, drawn.words)
        absent = len(drawn.words) - 3
        assert (result.pred_sem_seg.data < absent).float().mean() > 0.95
