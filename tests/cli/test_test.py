"""`dcpclip test` with a model whose predictions are known."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from data_trees import make_ade20k_150_tree, make_own_tree, make_voc_tree
from PIL import Image

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.shipped import config_path

NUMBER = itertools.count()

CONFIG = '''
custom_imports = dict(imports=['toy_segmentor'], allow_failed_imports=False)
default_scope = 'mmseg'
log_level = 'WARNING'
experiment_name = '{name}'
model = dict(type='RelabelSegmentor', replaced=[(19, 4), (149, 100)])
test_cfg = dict(type='TestLoop')
default_hooks = dict(visualization=dict(type='SegVisualizationHook'))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=vis_backends, name='{name}')
'''
PIPELINE = '''
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
            dict(type='PackSegInputs')]
def_loader = dict(
    batch_size=1, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='TextVocabDataset', data_root={root!r}, vocabulary='classes.txt',
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        pipeline=pipeline))
'''


@pytest.fixture
def write_config(tmp_path):
    def write(extra: str = '') -> str:
        path = tmp_path / 'config.py'
        name = f'test_tool_{next(NUMBER)}'
        path.write_text(CONFIG.format(name=name) + extra)
        return str(path)

    return write


def test_own_test_set(tmp_path, write_config):
    root = str(make_own_tree(tmp_path / 'own'))
    config = write_config(PIPELINE.format(root='elsewhere') + '''
test_dataloader = def_loader
test_evaluator = dict(type='OVIoUMetric', out_json='unset.json')
''')
    checkpoint = tmp_path / 'model.pth'
    torch.save(dict(state_dict=dict(weight=torch.ones(1))), checkpoint)
    scores = tmp_path / 'scores.json'
    status = main([
        'test', config, str(checkpoint), '--work-dir', str(tmp_path / 'work'),
        '--out', str(tmp_path / 'png'), '--show-dir', str(tmp_path / 'drawn'),
        '--cfg-options', f'test_dataloader.dataset.data_root={root}',
        f'test_evaluator.out_json={scores}'])
    assert status == 0
    report = json.loads(scores.read_text())
    assert report['scores']['mIoU'] == 100.0
    predicted = Image.open(tmp_path / 'png/0.png')
    assert np.unique(predicted).tolist() == [0, 2]
    assert len(list((tmp_path / 'drawn').rglob('*.png'))) == 2


def test_benchmarks_of_the_dataset_configs(tmp_path, write_config, capsys,
                                           monkeypatch):
    roots = dict(ade20k_150=make_ade20k_150_tree(tmp_path / 'ade'),
                 pascal_voc_20=make_voc_tree(tmp_path / 'voc'))
    monkeypatch.chdir(tmp_path)
    work = tmp_path / 'work'
    status = main([
        'test', write_config(), 'none', '--work-dir', str(work), '--boundary',
        '--benchmarks', 'all', '--data-root',
        *(f'{name}={root}' for name, root in roots.items())])
    assert status == 0
    out = capsys.readouterr().out
    table = out[out.index('Open-vocabulary segmentation'):]
    for name in ('ade20k_150', 'ade20k_847', 'pascal_context_59', 'pascal_context_459',
                 'pascal_voc_20'):
        assert name in table
    assert table.count('not found: ') == 3
    assert 'ade20k_847: not found: data/ade20k_847/images/validation;' in out

    summary = json.loads((work / 'benchmarks.json').read_text())
    assert summary['checkpoint'] == 'None'
    rows = {row['name']: row for row in summary['benchmarks']}
    assert len(rows) == 5
    missing = rows['pascal_context_459']
    assert missing['note'] == 'not found: data/VOCdevkit/VOC2010/JPEGImages'
    assert missing['scores'] == {}
    ade, voc = rows['ade20k_150'], rows['pascal_voc_20']
    assert (ade['scores']['mIoU'], ade['scores']['mIoU_union']) == (80.0, 66.67)
    assert (voc['scores']['mIoU'], voc['scores']['mIoU_union']) == (66.67, 50.0)
    assert 0 < ade['scores']['boundary_mIoU'] < 100 and 'boundary' in table
    assert (ade['images'], ade['classes']) == (2, 150)
    assert ' 80.00 ' in table and ' 66.67 ' in table and ' 50.00 ' in table
    # Scores of each class, with the vocabulary they belong to.
    classes = json.loads((work / 'benchmarks/pascal_voc_20.json').read_text())
    assert classes['vocabulary_digest'] == voc['vocabulary_digest']
    assert classes['classes'][19]['IoU'] == 0.0


def test_training_free_benchmarks(tmp_path, capsys, monkeypatch):
    root = make_voc_tree(tmp_path / 'voc')
    monkeypatch.chdir(tmp_path)
    config = str(config_path('dcpclip_vitb16_frozen'))
    # only the dataset and the table are looked at: nothing but VOC is there
    monkeypatch.setattr('mmseg_dcpclip.cli.test._build_runner', FakeRunner)
    assert main(['test', config, 'none', '--work-dir', str(tmp_path / 'work'),
                 '--benchmarks', 'training-free', '--data-root',
                 f'pascal_voc_20={root}', f'pascal_voc_21={root}']) == 0
    out = capsys.readouterr().out
    table = out[out.index('Open-vocabulary segmentation'):]
    assert table.count('not run') == table.count('not found: ') == 6
    assert ' 58.9 ' in table and ' 17.4 ' in table and ' 12.34 ' in table
    assert list(FakeRunner.tested) == ['pascal_voc_21', 'pascal_voc_20']


def test_label_sets_bring_their_background(tmp_path, monkeypatch):
    """Noise is 'sky', 'wall', ... here and there, and never the word 'background'."""
    root = make_voc_tree(tmp_path / 'voc', num_val=1)
    monkeypatch.chdir(tmp_path)
    assert main(['test', str(config_path('dcpclip_mini_frozen')), 'none', '--work-dir',
                 'work', '--out', 'png', '--benchmarks', 'training-free',
                 '--data-root', f'pascal_voc_21={root}',
                 '--cfg-options', 'log_level=ERROR', 'experiment_name=rules']) == 0
    png = Image.open('png/pascal_voc_21/2007_000001.png')
    background = np.asarray(png) == 0
    assert 0 < background.mean() < 1 and png.mode == 'L'
    label = np.asarray(Image.open(root / 'SegmentationClass/2007_000001.png'))
    report = json.loads(Path('work/benchmarks/pascal_voc_21.json').read_text())
    assert report['classes'][0]['right'] == (background & (label == 0)).sum() > 0


class FakeRunner:
    def __init__(self, config):
        self.test_loop = self
        FakeRunner.tested = config.test_cfg.benchmarks
        self.scores = {name: dict(mIoU=12.34) for name in FakeRunner.tested}

    def test(self):
        pass


def test_benchmarks_of_the_config(tmp_path, write_config, capsys):
    root = str(make_own_tree(tmp_path / 'own'))
    config = write_config(PIPELINE.format(root=root) + '''
benchmarks = dict(
    small=dict(dataloader=def_loader, evaluator=dict(type='OVIoUMetric')),
    again=dict(dataloader=def_loader,
               evaluator=dict(type='OVIoUMetric', seen=['dog'])))
''')
    args = ['test', config, 'none', '--work-dir', str(tmp_path / 'work'),
            '--benchmarks']
    assert main([*args, 'again', '--out', str(tmp_path / 'png')]) == 0
    rows = json.loads((tmp_path / 'work/benchmarks.json').read_text())['benchmarks']
    assert [row['name'] for row in rows] == ['again']
    assert rows[0]['scores']['mIoU'] == rows[0]['scores']['unseen_mIoU'] == 100.0
    # No label holds the only seen class.
    assert rows[0]['scores']['seen_mIoU'] is None
    assert len(list((tmp_path / 'png/again').glob('*.png'))) == 2
    # The benchmarks of the config replace the five known ones.
    capsys.readouterr()
    assert main([*args, 'ade20k_150']) == 1
    message = capsys.readouterr().err.strip()
    assert message.endswith('no benchmark named ade20k_150; choose from small, again, '
                            'or all')


def test_nothing_is_there(tmp_path, write_config, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status = main(
        ['test', write_config(), 'none', '--benchmarks', 'pascal_voc_20'])
    assert status == 1
    assert 'not found: data/VOCdevkit/VOC2012/JPEGImages' in capsys.readouterr().out
    assert Path('work_dirs/config/benchmarks.json').is_file()


@pytest.mark.parametrize('args, message', [
    (['nothing.pth'], 'no such checkpoint: nothing.pth.*none'),
    (['none', '--data-root', 'ade20k_150=x'], '--data-root belongs to --benchmarks'),
    (['none', '--mode', 'fast'], 'has no mode .fast.: add modes='),
    (['none', '--tta', 'turn'], 'no tta .turn.: choose none, flip, shift'),
    (['none', '--tta'], 'needs a tta_pipeline'),
])
def test_bad_arguments(write_config, capsys, args, message):
    assert main(['test', write_config(), *args]) == 1
    error = ' '.join(capsys.readouterr().err.split())
    assert re.search(message, error)


def test_mistake_shows_before_the_model_is_built(write_config, capsys):
    config = write_config('''
benchmarks = dict(wrong=dict(
    dataloader=dict(
        batch_size=1, num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='ADE20K847Dataset', ignore_index=255, lazy_init=True)),
    evaluator=dict(type='OVIoUMetric')))
model = dict(type='NoSuchModel')
''')
    assert main(['test', config, 'none', '--benchmarks', 'all']) == 1
    assert 'ignore_index=255 is a class id' in capsys.readouterr().err
