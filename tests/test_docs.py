"""README and pages tell the truth: their commands run, what they point to exists."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from data_trees import make_ade20k_150_tree, make_coco_stuff_tree
from mmengine.config import Config
from mmengine.runner import save_checkpoint
from mmseg.registry import MODELS
from PIL import Image
from ports import free_port
from toys import assert_all_gradients, toy_model, toy_model_config, toy_samples

from mmseg_dcpclip import Predictor
from mmseg_dcpclip.cli import main
from mmseg_dcpclip.models.clip.readouts import READ_OUTS
from mmseg_dcpclip.vocabulary import LABEL_SETS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
PAGES = sorted((ROOT / 'docs').rglob('*.md'))
PACKAGE = ROOT / 'mmseg_dcpclip'


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf'```{language}\n(.*?)```', text, flags=re.S)


def commands(text: str) -> list[str]:
    lines = '\n'.join(blocks(text, 'shell')).replace('\\\n', ' ').splitlines()
    return [line.partition('   #')[0].strip() for line in lines if line.strip()]


# ---------------------------------------------------------------- README's commands

# The real config on a random mini CLIP and two small trees.
SMALL = [
    '--cfg-options', 'model.backbone.model_name=mini-ViT-8',
    'model.backbone.pretrained=None', 'model.backbone.out_indices=(1,3)',
    'model.text_encoder.model_name=mini-ViT-8', 'model.text_encoder.pretrained=None',
    "model.text_encoder.templates=['{}']", 'model.test_cfg.crop_size=(64,64)',
    'model.test_cfg.stride=(64,64)', 'model.backbone.input_size=(64,64)',
    'train_dataloader.num_workers=0',
    'val_dataloader.num_workers=0', 'test_dataloader.num_workers=0',
    'log_level=ERROR']
SHORT = ['train_cfg.max_iters=1', 'train_cfg.val_interval=2']


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder as a user has it after `make demo`, with some data."""
    place = tmp_path_factory.mktemp('place')
    for name in ('configs', 'tools'):
        (place / name).symlink_to(ROOT / name)
    make_coco_stuff_tree(place / 'data' / 'coco_stuff164k', num_train=2, num_val=1,
                         size=(60, 80))
    make_ade20k_150_tree(place / 'data' / 'ade' / 'ADEChallengeData2016')
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(place / 'picture.png')
    from mmengine.registry import init_default_scope
    init_default_scope('mmseg')
    config = Config.fromfile(ROOT / 'configs' / 'dcpclip_vitb16_coco.py')
    for part in (config.model.backbone, config.model.text_encoder):
        part.update(model_name='mini-ViT-8', pretrained=None)
    config.model.backbone.out_indices = (1, 3)
    config.model.text_encoder.templates = ['{}']
    model = MODELS.build(config.model)
    model.init_weights()
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}),
                    str(place / 'CHECKPOINT'))
    main(['data', 'draw', str(place / 'pictures')])
    return place


def in_this_process(*more, status=0):
    """Run a `dcpclip` command as it stands, with some more words."""
    def run(words):
        assert main([*words[1:], *more]) == status
    return run


def through_the_script(*more, processes):
    """Run a script as it stands, in fewer processes, with some more words."""
    def run(words):
        words = [processes if word == '4' else word for word in words]
        bins = os.pathsep.join((str(Path(sys.executable).parent), os.environ['PATH']))
        done = subprocess.run(
            [*words, *more], capture_output=True, text=True,
            env={**os.environ, 'PATH': bins, 'OMP_NUM_THREADS': '1',
                 'PORT': str(free_port())})
        assert done.returncode == 0, done.stderr[-3000:]
    return run


def by_make(words):
    """Too long for a test, which make itself runs: only its plan is made."""
    subprocess.run([*words, '-n'], check=True, capture_output=True, cwd=ROOT)


RUN = {
    # done by tests/test_packaging.py
    'pip install torch torchvision ".[onedl]"': lambda words: None,
    'dcpclip data draw pictures': in_this_process(),
    'dcpclip segment pictures/0.png --words "white dots on pink; purple bars on blue"':
        in_this_process(),
    'make demo': by_make,
    'make test': by_make,
    'dcpclip segment picture.png --words "red stripes on blue; white dots on '
    'green|polka dots"': in_this_process(),
    'dcpclip segment picture.png --words "cat; dog|puppy; grass"      --config '
    'dcpclip_vitb16_frozen': in_this_process(*SMALL[:7]),
    'dcpclip data check': in_this_process(status=1),  # most is missing there
    'dcpclip train configs/dcpclip_vitb16_coco.py': in_this_process(*SMALL, *SHORT),
    'dcpclip test configs/dcpclip_vitb16_coco.py CHECKPOINT --benchmarks all':
        in_this_process(*SMALL),
    'bash tools/dist_train.sh configs/dcpclip_vitb16_coco.py 4':
        through_the_script(*SMALL, *SHORT, processes='2'),
    'bash tools/dist_test.sh configs/dcpclip_vitb16_coco.py CHECKPOINT 4':
        through_the_script(*SMALL, processes='2'),
    'dcpclip benchmark --classes 20 847 --selected 24': in_this_process(
        '--config', str(ROOT / 'configs' / 'dcpclip_mini.py'), '--size', '64',
        '--repeats', '1', '--models', 'dcpclip', '--phases', 'forward'),
    'dcpclip reproduce table3 --world mini --seeds 0 --jobs 2': in_this_process(
        '--dry-run'),
}


def words_of(command: str) -> list[str]:
    import shlex
    return shlex.split(command)


@pytest.mark.parametrize('command', commands(README))
def test_command_of_the_readme(command, place, monkeypatch):
    monkeypatch.chdir(place)
    RUN[command](words_of(command))


def test_python_of_the_readme(place, monkeypatch):
    code, = blocks(README, 'python')
    monkeypatch.chdir(place)
    names: dict = {}
    exec(compile(code, 'README.md', 'exec'), names)
    assert names['result'].pred_sem_seg.data.shape == (1, 96, 96)
    assert names['result'].classes == ('white dots on pink', 'dog')


# --------------------------------------------------------------------------- pages

def known_flags(name: str) -> set[str]:
    """Flags of a subcommand and its own subcommands, from their source."""
    own = (PACKAGE / 'cli' / f'{name}.py').read_text()
    parts = {name, 'common', '__init__', *re.findall(r'from \.(\w+) import', own)}
    text = ''.join((PACKAGE / 'cli' / f'{part}.py').read_text() for part in parts)
    return set(re.findall(r"'(--[a-z-]+)'", text)) | {'--help'}


@pytest.mark.parametrize('path', [ROOT / 'projects_readme.md', *PAGES],
                         ids=lambda path: path.name)
def test_commands_of_the_pages_exist(path):
    from mmseg_dcpclip.cli import COMMANDS
    text = path.read_text(encoding='utf-8')
    written = commands(text) + re.findall(r'`(dcpclip [^`]+)`', text)
    for command in (c for c in written if c.startswith('dcpclip ')):
        words = command.split()
        if words[1] in ('COMMAND', ):
            continue
        assert words[1] in COMMANDS, command
        flags = {word for word in words if word.startswith('--')}
        assert flags <= known_flags(words[1]), command
    for config in re.findall(r'configs/[\w/]+\.py', text):
        assert (ROOT / config).is_file(), config


def test_every_link_leads_somewhere():
    for path in [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *PAGES]:
        for link in re.findall(r'\]\((?!https?:)([^)#]+)', path.read_text()):
            assert (path.parent / link).exists(), (path.name, link)


def test_head_of_the_page_on_parts():
    """The head that is printed there trains and segments."""
    text = (ROOT / 'docs' / 'parts.md').read_text(encoding='utf-8')
    code = next(block for block in blocks(text, 'python') if 'TinyHead' in block)
    exec(compile(code, 'parts.md', 'exec'), {'__name__': 'parts_page'})
    try:
        model = toy_model(decode_head=dict(type='TinyHead'))
    finally:
        MODELS._module_dict.pop('TinyHead')
    data = model.data_preprocessor(toy_samples([(32, 32), (32, 32)]), True)
    model.parse_losses(model(**data, mode='loss'))[0].backward()
    assert_all_gradients(model.decode_head)
    model.test_cfg = dict(mode='whole', max_places=1, return_logits=True)
    with torch.no_grad():
        parts = model.eval().predict(**model.data_preprocessor(
            toy_samples([(32, 32), (32, 32)])))
        model.test_cfg = dict(mode='whole', return_logits=True)
        whole = model.predict(**model.data_preprocessor(
            toy_samples([(32, 32), (32, 32)])))
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one.seg_logits.data, other.seg_logits.data)


def test_read_out_of_the_page_on_parts():
    """The read-out that is printed there reads."""
    text = (ROOT / 'docs' / 'parts.md').read_text(encoding='utf-8')
    code = next(block for block in blocks(text, 'python') if 'kk_sharp' in block)
    exec(compile(code, 'parts.md', 'exec'), {'__name__': 'parts_page'})
    try:
        backbone = MODELS.build(dict(
            type='CLIPVisionBackbone', model_name='mini-ViT-8', out_indices=(1, ),
            read_out=dict(type='kk_sharp', scale=3.0)))
    finally:
        READ_OUTS.module_dict.pop('kk_sharp')
    assert torch.isfinite(backbone(torch.randn(1, 3, 24, 32)).patch).all()


# ----------------------------------------------------------------------- equations

ROWS = re.findall(r'^\| (\d+) \| .*? \| `([^`]+)` \| `([^`]+)` \|$',
                  (ROOT / 'docs' / 'architecture.md').read_text(), flags=re.M)


def function_of(path: Path, name: str) -> str:
    """Whole lines of a function or method in a file."""
    text = path.read_text(encoding='utf-8')
    node: ast.AST = ast.parse(text)
    for part in name.split('.'):
        node = next(child for child in ast.iter_child_nodes(node)
                    if getattr(child, 'name', None) == part)
    return '\n'.join(text.splitlines()[node.lineno - 1:node.end_lineno])


def test_the_table_has_every_equation():
    assert [int(number) for number, *_ in ROWS] == list(range(1, 18))


@pytest.mark.parametrize('number, place, test', ROWS, ids=[row[0] for row in ROWS])
def test_equation_stands_on_its_line(number, place, test):
    path, _, name = place.partition(':')
    source = function_of(PACKAGE / path, name)
    comments = [line.partition('#')[2] for line in source.splitlines() if '#' in line]
    numbers = set()
    for comment in comments:
        for first, last in re.findall(r'Eq\. (\d+)(?:(?:-| and )(\d+))?', comment):
            numbers |= set(range(int(first), int(last or first) + 1))
    assert int(number) in numbers, comments
    file, _, function = test.partition(':')
    function_of(ROOT / file, function)


def test_all_label_sets_are_named():
    page = (ROOT / 'docs' / 'words.md').read_text(encoding='utf-8')
    text = page[page.index('Label sets of the package:'):].partition('[small')[0]
    assert re.findall('`(.*?)`', text) == list(LABEL_SETS)


def test_predictor_is_what_the_pages_say():
    """The toy config through the words of the pages: names, files, lists."""
    config = Config(dict(model=toy_model_config(), test_pipeline=[
        dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]))
    with pytest.warns(UserWarning, match='untrained'):
        predictor = Predictor(config)
    picture = np.zeros((16, 16, 3), np.uint8)
    for words in ('pascal_voc_20', ['cat', 'dog|puppy']):
        assert predictor.predict(picture, words).pred_sem_seg.data.shape == (1, 16, 16)
