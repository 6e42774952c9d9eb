"""The floors of the package: what may import what, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / 'mmseg_dcpclip'
# From the ground up; each imports only what stands before it (and itself).
FLOORS = ('version', 'extras', 'windows', 'pictures', 'catalogue', 'shipped', 'files',
          'quiet', 'vocabulary', 'registry', 'datasets', 'models', 'preparation',
          'engine', 'evaluation', 'apis', 'utils', 'miniworld', 'reproduction',
          'cli')
MODULES = sorted(PACKAGE.rglob('*.py'))


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


def imported_floors(path: Path) -> set[str]:
    """Floors that a module imports, anywhere in it."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ''
            if node.level == depth:  # from the package itself
                found |= {module.split('.')[0]} if module else {
                    alias.name for alias in node.names}
            elif node.level == 0 and module.startswith('mmseg_dcpclip'):
                found.add(module.partition('.')[2].split('.')[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split('.')[1] for alias in node.names
                      if alias.name.startswith('mmseg_dcpclip.')}
    return {name for name in found if name in FLOORS}


@pytest.mark.parametrize('path', [
    path for path in MODULES if floor_of(path) in FLOORS],
    ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_below(path):
    own = FLOORS.index(floor_of(path))
    above = {name for name in imported_floors(path) if FLOORS.index(name) > own}
    assert not above


def test_every_module_has_a_floor():
    roots = {floor_of(path) for path in MODULES}
    assert roots - set(FLOORS) == {'__init__', 'registration'}


def test_no_file_is_long():
    long = {str(path.relative_to(PACKAGE)): length for path in MODULES
            if (length := len(path.read_text(encoding='utf-8').splitlines())) > 400}
    assert not long


def test_no_argparse_below_the_command():
    users = {floor_of(path) for path in MODULES
             if 'argparse' in path.read_text(encoding='utf-8')}
    assert users == {'cli'}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True,
                          capture_output=True, text=True)
    return done.stdout.strip()


HEAVY = ('import sys; print(sorted({"torch", "mmseg", "mmengine", "mmcv", "open_clip", '
         '"matplotlib"} & set(sys.modules)))')


@pytest.mark.parametrize('light', [
    'import mmseg_dcpclip', 'import mmseg_dcpclip.vocabulary',
    'from mmseg_dcpclip import Vocabulary; Vocabulary.load("mini-20")',
    'from mmseg_dcpclip.cli import main\ntry: main(["--help"])\n'
    'except SystemExit: pass',
    'from mmseg_dcpclip.cli import COMMANDS, main\nfor name in COMMANDS:\n'
    ' try: main([name, "--help"])\n except SystemExit: pass'])
def test_light_imports(light):
    assert run(f'{light}\n{HEAVY}').splitlines()[-1] == '[]'


FIND = ('print(MODELS.get("DCPCLIP").__name__, '
        'DATASETS.get("MiniWorldDataset").__name__)')
MMSEG = 'from mmseg.registry import DATASETS, MODELS'


@pytest.mark.parametrize('use', [
    'from mmseg_dcpclip import Predictor', 'import mmseg_dcpclip; mmseg_dcpclip.models',
    'from mmseg_dcpclip.cli import main; main(["segment", "gone.png"])'])
def test_nothing_is_said_of_what_is_not_installed(use):
    done = subprocess.run([sys.executable, '-c', use], capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines()
            if 'no such picture' not in line]
    assert said == []


@pytest.mark.parametrize('order', [
    f'import mmseg_dcpclip\n{MMSEG}', f'{MMSEG}\nimport mmseg_dcpclip',
    f'{MMSEG}\nMODELS.get("FCNHead")\nimport mmseg_dcpclip',
    f'from mmseg_dcpclip.vocabulary import Vocabulary\n{MMSEG}',
    f'import mmengine\nimport mmseg_dcpclip.models\n{MMSEG}',
    'from mmengine.config import Config\nfrom mmseg_dcpclip.shipped import config_path'
    f'\nConfig.fromfile(config_path("dcpclip_mini"))\n{MMSEG}'])
def test_registered_in_whatever_order(order):
    assert run(f'{order}\n{FIND}').splitlines()[-1] == 'DCPCLIP MiniWorldDataset'


def test_names_of_the_small_world_are_those_of_its_splits():
    from mmseg_dcpclip.miniworld import LABEL_SETS
    from mmseg_dcpclip.miniworld.splits import CATEGORIES
    assert set(LABEL_SETS) == set(CATEGORIES)


def test_catalogue():
    from mmseg_dcpclip import Vocabulary, catalogue
    catalogue.add_label_set('two', lambda: ['cat', 'dog|puppy'])
    try:
        assert Vocabulary.load('two').synonyms == (('cat', ), ('dog', 'puppy'))
    finally:
        del catalogue.LABEL_SETS['two']
    with pytest.raises(ValueError, match="'a.txt': a dot"):
        catalogue.add_label_set('a.txt', list)
