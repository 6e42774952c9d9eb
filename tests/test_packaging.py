"""The wheel alone, in a folder of its own, far from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """A folder into which the built wheel was installed, without what it needs."""
    folder = tmp_path_factory.mktemp('wheel')
    subprocess.run(  # sources are read only: a build folder would stay
        [sys.executable, '-c',
         'import sys; from setuptools import build_meta; '
         'build_meta.build_wheel(sys.argv[1])', str(folder)],
        cwd=copy_of_sources(folder / 'source'), check=True, capture_output=True)
    wheel, = folder.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / 'site')
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


def run(installed: Path, folder: Path, code: str) -> str:
    """What a fresh interpreter prints; it runs elsewhere and sees the wheel only."""
    environment = dict(os.environ, PYTHONPATH=str(installed), OMP_NUM_THREADS='1')
    done = subprocess.run([sys.executable, '-c', code], cwd=folder, text=True,
                          env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_wheel_holds_one_package(installed):
    top = {p.name for p in installed.iterdir() if not p.name.endswith('.dist-info')}
    assert top == {'mmseg_dcpclip'}
    shipped = installed / 'mmseg_dcpclip' / '.mim'
    for folder in ('configs', 'tools'):
        own = {p.relative_to(ROOT) for p in (ROOT / folder).rglob('*')
               if p.is_file() and '__pycache__' not in p.parts}
        assert own == {p.relative_to(shipped) for p in (shipped / folder).rglob('*')
                       if p.is_file()}
    assert (shipped / 'model-index.yml').is_file()
    assert 'dcpclip = mmseg_dcpclip.cli:main' in next(
        installed.glob('*.dist-info/entry_points.txt')).read_text()


def test_every_config_of_the_wheel_has_a_name_of_its_own():
    names = [p.name for p in (ROOT / 'configs').rglob('*.py')
             if '_base_' not in p.parts]
    assert len(names) == len(set(names))  # mim refuses others


def test_from_the_wheel_to_masks(installed, tmp_path):
    code = '''
import warnings
import mmseg_dcpclip
from mmseg_dcpclip import Predictor
assert 'site' in mmseg_dcpclip.__file__
from mmseg_dcpclip.cli import main
from PIL import Image
Image.new('RGB', (40, 30), (200, 30, 30)).save('a.png')
assert main(['segment', 'a.png', '--config', 'dcpclip_mini_frozen', '--checkpoint',
             'none', '--words', 'plain red; plain blue', '--out', 'masks']) == 0
result = Predictor('dcpclip_mini_frozen').predict('a.png', ['plain red', 'plain blue'])
print(result.pred_sem_seg.data.unique().tolist())
'''
    assert run(installed, tmp_path, code).splitlines()[-1] == '[0]'
    assert (tmp_path / 'masks').is_dir()


def test_mmengine_finds_the_configs_of_the_wheel(installed, tmp_path):
    (tmp_path / 'own.py').write_text(
        "_base_ = 'mmseg_dcpclip::_base_/models/dcpclip_mini_model.py'\n"
        "work_dir = 'here'\n")
    code = '''
import mmseg_dcpclip
from mmengine.config import Config
from mmengine.hub import get_config
config = get_config('mmseg_dcpclip::_base_/../dcpclip_mini.py')
assert config.model.type == 'DCPCLIP' and 'site' in config.filename
config = Config.fromfile('own.py')
print(config.model.type, config.work_dir)
'''
    assert run(installed, tmp_path, code).split() == ['DCPCLIP', 'here']


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
    *_, told, status = run(installed, tmp_path, code).splitlines()
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
