"""The wheel alone, in a folder of its own, far from the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """A folder into which pip installed the built wheel, without what it needs."""
    folder = tmp_path_factory.mktemp('wheel')
    subprocess.run(  # sources are read only: a build folder would stay
        [sys.executable, '-c',
         'import sys; from setuptools import build_meta; '
         'build_meta.build_wheel(sys.argv[1])', str(folder)],
        cwd=copy_of_sources(folder / 'source'), check=True, capture_output=True)
    wheel, = folder.glob('*.whl')
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps',
                    '--no-index', '--no-compile', '--target', str(folder / 'site'),
                    str(wheel)], check=True, capture_output=True)
    return folder / 'site'


def copy_of_sources(target: Path) -> Path:
    """The files that git knows, so that nothing else helps."""
    names = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others',
                            '--exclude-standard'], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout
    for name in filter(None, names.split('\0')):
        if (ROOT / name).is_file() and not name.startswith(('tests/', 'resources/')):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())
    return target


def run(installed: Path, folder: Path, *command: str) -> str:
    """What a fresh process prints; it runs elsewhere and sees the wheel only."""
    environment = dict(os.environ, PYTHONPATH=str(installed), OMP_NUM_THREADS='1')
    done = subprocess.run([sys.executable, *command], cwd=folder, text=True,
                          env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_wheel_holds_one_package(installed):
    top = {p.name for p in installed.iterdir() if not p.name.endswith('.dist-info')}
    assert top == {'mmseg_dcpclip', 'bin'}
    shipped = installed / 'mmseg_dcpclip' / '.mim'
    for folder, place in (('configs', 'configs/dcpclip'), ('tools', 'tools')):
        own = {p.relative_to(ROOT / folder) for p in (ROOT / folder).rglob('*')
               if p.is_file() and '__pycache__' not in p.parts}
        assert own == {p.relative_to(shipped / place) for p in (
            shipped / place).rglob('*') if p.is_file()}
    assert (shipped / 'model-index.yml').is_file()
    assert 'dcpclip = mmseg_dcpclip.cli:main' in next(
        installed.glob('*.dist-info/entry_points.txt')).read_text()


def test_every_config_of_the_wheel_has_a_name_of_its_own():
    names = [p.name for p in (ROOT / 'configs').rglob('*.py')
             if '_base_' not in p.parts]
    assert len(names) == len(set(names))  # mim refuses others


# What a new user does, one process, one step after the other.
STEPS = """
main(['data', 'draw', 'pictures', '--pictures', '1']) == 0
main(['segment', PICTURE, '--words', WORDS, '--out', 'out']) == 0
main(['segment', PICTURE, '--words', WORDS, '--config', 'dcpclip_mini_frozen']) == 0
Predictor('dcpclip_mini_frozen').predict(PICTURE, ['red']).classes == ('red', )
masks(Predictor('dcpclip_mini')) == written('out')
Predictor('dcpclip_mini').save_pretrained('model', delta=True) is None
masks(Predictor.from_pretrained('model')) == written('out')
main(['segment', PICTURE, '--words', WORDS, '--config', 'model', '--out', 'again']) == 0
written('again') == written('out')
"""
USE = """
import numpy as np
from PIL import Image
import mmseg_dcpclip
from mmseg_dcpclip import Predictor
from mmseg_dcpclip.cli import main
assert 'site' in mmseg_dcpclip.__file__
LIST = ['yellow stripes on brown', 'white dots on pink', 'purple bars on blue']
PICTURE, WORDS = 'pictures/0.png', '; '.join(LIST)
def masks(predictor):
    return predictor.predict(PICTURE, LIST).pred_sem_seg.data[0].tolist()
def written(folder):
    return np.asarray(Image.open(f'{folder}/0_labels.png')).tolist()
for step in STEPS.split(chr(10)):
    assert not step or eval(step), step
"""


def test_from_the_wheel_to_masks(installed, tmp_path):
    (tmp_path / 'use.py').write_text(f'STEPS = {STEPS!r}\n{USE}')
    run(installed, tmp_path, 'use.py')
    said = run(installed, tmp_path, str(installed / 'bin' / 'dcpclip'), '--help')
    assert 'segment' in said


def test_mmengine_finds_what_is_in_the_wheel(installed, tmp_path):
    (tmp_path / 'own.py').write_text(
        "_base_ = 'mmseg_dcpclip::dcpclip/_base_/models/dcpclip_mini_model.py'\n"
        "work_dir = 'here'\n")
    code = '''
import mmseg_dcpclip
from mmengine.config import Config
from mmengine.hub import get_config, get_model
name = 'mmseg_dcpclip::dcpclip/dcpclip_mini.py'
config = get_config(name, pretrained=True)
assert 'site' in config.filename and config.model_path.endswith('://dcpclip_mini')
theirs = get_model(name, pretrained=True).state_dict()
ours = mmseg_dcpclip.Predictor('dcpclip_mini').model.state_dict()
assert all((theirs[key] == value).all() for key, value in ours.items())
get_config('mmseg_dcpclip::dcpclip/ablations/mini/dcpclip_mini_dcs.py')
config = Config.fromfile('own.py')
print(config.model.type, config.work_dir)
'''
    assert run(installed, tmp_path, '-c', code).split()[-2:] == ['DCPCLIP', 'here']


def test_without_the_stack_the_extra_is_named(installed, tmp_path):
    code = '''
import sys
from importlib.abc import MetaPathFinder
class Hide(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('mmseg', 'mmengine', 'mmcv'):
            raise ModuleNotFoundError(f'No module named {name!r}',
                                      name=name.partition('.')[0])
import mmseg_dcpclip
sys.meta_path.insert(0, Hide())
from mmseg_dcpclip.cli import main
try:
    main(['--help'])
except SystemExit as leave:
    assert leave.code == 0
try:
    mmseg_dcpclip.Predictor
except ModuleNotFoundError as error:
    print(error)
print(main(['segment', 'a.png']))
'''
    *_, told, status = run(installed, tmp_path, '-c', code).splitlines()
    assert "pip install 'mmseg-dcpclip[onedl]'" in told and status == '1'


def test_the_model_index_tells_what_is_true():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    models = [model for path in index['Import'] for model in
              yaml.safe_load((ROOT / path).read_text())['Models']]
    table = (ROOT / 'docs' / 'miniworld.md').read_text()
    row = next(line for line in table.splitlines() if line.startswith('| mini-847 |'))
    frozen, trained = (float(x) for x in row.split('|')[2:4])
    for model in models:
        config = Config.fromfile(ROOT / model['Config'])
        assert config.model.type == 'DCPCLIP'
        if 'mini' not in model['Name']:
            assert model['Metadata']['Results'] == 'not run' and 'Results' not in model
            continue
        score = model['Results'][0]['Metrics']['mIoU']
        assert score == (frozen if 'frozen' in model['Name'] else trained)
