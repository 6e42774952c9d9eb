"""Variables of the dataset configs, set anew over a base and on the command line."""

import re
from pathlib import Path

import pytest
from data_trees import make_own_tree
from mmengine.config import Config
from mmseg.registry import RUNNERS

from mmseg_dcpclip.engine import VocabularyHook, apply_variables, changed_variables
from mmseg_dcpclip.engine.variables import KEYS, PLACES
from mmseg_dcpclip.shipped import config_path, configs_folder

CONFIGS = sorted((configs_folder() / '_base_/datasets').glob('*.py'))
NEW = dict(dataset_type='AnotherDataset', data_root='/elsewhere',
           vocabulary=['cat', 'dog'], img_suffix='.JPG', ignore_index=65535,
           reduce_zero_label=True, crop_size=(32, 48), max_side=128,
           train_pipeline=[dict(type='LoadImageFromFile')],
           test_pipeline=[dict(type='PackSegInputs')])
CASES = [pytest.param(path, name, id=f'{path.stem}-{name}') for path in CONFIGS
         for name in Config.fromfile(path).get('variables', ())]


def values(tree, key):
    """All values under a key in a part of a config."""
    if isinstance(tree, dict):
        return [*([tree[key]] if key in tree else []),
                *(v for child in tree.values() for v in values(child, key))]
    if isinstance(tree, (list, tuple)):
        return [v for child in tree for v in values(child, key)]
    return []


@pytest.mark.parametrize('path', CONFIGS, ids=[path.stem for path in CONFIGS])
def test_all_variables_are_noted(path):
    """A variable that is bound further down and not noted could not be set anew."""
    text = path.read_text()
    bound = {name for name in re.findall(r'^(\w+) = ', text, flags=re.M)
             if re.search(rf'^ .*={name}\b', text, flags=re.M)
             and not name.endswith(('dataloader', 'evaluator'))}  # a runner's own
    noted = set(Config.fromfile(path).get('variables', ()))
    assert bound == noted, f'{path} ends with variables=dict(name=name, ...)'


@pytest.mark.parametrize('route', ['options', 'base'])
@pytest.mark.parametrize('path, name', CASES)
def test_takes_effect(path, name, route, tmp_path):
    if route == 'options':
        config = Config.fromfile(path)
        config.merge_from_dict({name: NEW[name]})
    else:
        over = tmp_path / 'over.py'
        over.write_text(f'_base_ = {str(path)!r}\n{name} = {NEW[name]!r}\n')
        config = Config.fromfile(over)
    old, key = config.variables[name], KEYS.get(name, name)
    places = [place for place in PLACES if place.endswith(('loader', 'evaluator'))]
    before = sum(v == old for place in places for v in values(config.get(place), key))
    assert before > 0 and changed_variables(config) == [name]
    apply_variables(config)
    found = [v for place in places for v in values(config.get(place), key)]
    assert old not in found
    assert sum(v == NEW[name] for v in found) == before
    assert changed_variables(config) == []
    once = config.to_dict()
    apply_variables(config)
    assert config.to_dict() == once


def test_kinds_of_the_command_line_and_the_model():
    config = Config.fromfile(config_path('dcpclip_vitb16_own'))
    config.merge_from_dict(dict(data_root=2012, crop_size=[96, 96], ignore_index=65535))
    window = config.model.test_cfg.crop_size
    apply_variables(config)
    assert config.train_dataloader.dataset.data_root == '2012'
    assert values(config.train_dataloader, 'crop_size') == [(96, 96)]
    assert config.model.ignore_index == 65535  # what the data ignores
    assert config.model.test_cfg.crop_size == window  # a size of its own


def test_what_was_set_by_itself_stays():
    config = Config.fromfile(config_path('dcpclip_vitb16_own'))
    config.merge_from_dict({'data_root': 'a', 'val_dataloader.dataset.data_root': 'b'})
    apply_variables(config)
    assert config.train_dataloader.dataset.data_root == 'a'
    assert config.val_dataloader.dataset.data_root == 'b'
    config = Config.fromfile(config_path('dcpclip_vitb16_own'))
    config.merge_from_dict({'data_root': 'a'} | {
        f'{split}_dataloader.dataset.data_root': 'b'
        for split in ('train', 'val', 'test')})
    with pytest.raises(ValueError, match="data_root='a' changes nothing.*train_data"):
        apply_variables(config)


def test_as_the_tools_of_mmseg_build_a_runner(tmp_path):
    root = make_own_tree(tmp_path / 'own')
    over = tmp_path / 'mine.py'
    over.write_text(f"""
_base_ = {str(config_path('_base_/datasets/own_dataset'))!r}
default_scope = 'mmseg'
runner_type = 'AnywhereRunner'
model = dict(type='RelabelSegmentor')
test_cfg = dict(type='TestLoop')
custom_imports = dict(imports=['toy_segmentor'])
train_dataloader = None
val_dataloader = None
val_evaluator = None
work_dir = {str(tmp_path / 'work')!r}
log_level = 'WARNING'
""")
    config = Config.fromfile(over)
    config.merge_from_dict(dict(data_root=str(root)))
    config['test_dataloader']['num_workers'] = 0
    scores = RUNNERS.build(config).test()
    assert scores['mIoU'] == 100.0
    assert config.test_dataloader.dataset.data_root == 'data/own'  # left as it was


def test_another_runner_does_not_pass_it_over():
    class Stock:
        cfg = Config.fromfile(config_path('dcpclip_vitb16_own'))

    VocabularyHook().before_run(Stock)
    Stock.cfg.data_root = 'elsewhere'
    with pytest.raises(ValueError, match="data_root .*runner_type='AnywhereRunner'"):
        VocabularyHook().before_run(Stock)


@pytest.mark.parametrize('path', CONFIGS, ids=[path.stem for path in CONFIGS])
def test_no_workers(path):
    """torch refuses these without workers."""
    config = Config.fromfile(Path(path))
    for split in ('train', 'val', 'test'):
        loader = config.get(f'{split}_dataloader') or {}
        assert not {'persistent_workers', 'prefetch_factor'} & set(loader)
