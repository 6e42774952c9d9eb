"""The plan of the paper's tables."""

import pytest

from mmseg_dcpclip.evaluation.benchmarks import BENCHMARKS
from mmseg_dcpclip.reproduction import tables
from mmseg_dcpclip.reproduction.paper import make_table
from mmseg_dcpclip.shipped import configs_folder

CONFIGS = configs_folder()


def test_the_real_world_has_the_benchmarks():
    assert tables.WORLDS['real'].benchmarks == BENCHMARKS
    assert all(len(world.benchmarks) == len(tables.PAPER_BENCHMARKS)
               for world in tables.WORLDS.values())


@pytest.mark.parametrize('world', tables.WORLDS)
def test_every_row_has_a_config_and_every_config_a_row(world):
    used = set()
    for number in range(1, 9):
        for name in make_table(number, world).configs():
            path = tables.table_config(name, world, CONFIGS)
            assert path.is_file(), path
            used.add(path)
            trained = tables.training_of(name)
            assert trained is None or tables.table_config(
                trained, world, CONFIGS).is_file()
    folder = CONFIGS / 'ablations' / tables.WORLDS[world].folder
    assert set(folder.glob('*.py')) <= used


@pytest.mark.parametrize('world', tables.WORLDS)
def test_figures_of_the_paper(world):
    for number in range(1, 8):
        table = make_table(number, world)
        columns = [c for c in table.columns if c.paper]
        assert all(len(row.paper) in (0, len(columns)) for row in table.rows)
    full = [row.paper for number in range(3, 7) for row in make_table(
        number, world).rows if row.config == tables.FULL]
    assert len(full) == 6 and set(full) == {(12.3, 19.7, 32.4, 58.1, 95.9)}
    theta = {row.name: row.paper for row in make_table(7, world).rows}
    assert theta['0'] == (12.4, 32.5, 95.2, 20.1, 869.5, 0.51)
    assert theta['0.9, union'] == ()
