"""What tells users whether to trust a run: parameters, costs, losses that are none."""

import json
import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.runner import Runner
from toys import toy_model, toy_model_config, toy_samples

from mmseg_dcpclip.engine.hooks.parameter_report_hook import parameter_rows
from mmseg_dcpclip.models.clip.layers import load_tower
from mmseg_dcpclip.models.losses import check_finite

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
            dict(type='PackSegInputs')]
OPTIM = dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.01),
             paramwise_cfg=dict(norm_decay_mult=0.0,
                                custom_keys=dict(backbone=dict(lr_mult=0.01))))


def loader(pictures, batch_size=1):
    return dict(
        batch_size=batch_size, num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='MiniWorldDataset', categories='mini-20', side=32,
                     num_pictures=pictures, pipeline=PIPELINE, ignore_index=65535))


def test_parameters_by_part():
    model = toy_model()
    wrapper = build_optim_wrapper(model, dict(type='OptimWrapper', **OPTIM))
    rows = parameter_rows(model, wrapper.optimizer)
    assert sum(size for _, size, _, _ in rows) == sum(
        p.numel() for p in model.parameters())
    rates = {(part, lr and round(lr, 9), decay): size for part, size, lr, decay in rows}
    assert rates['image CLIP', 0.001, 0.01] == sum(
        p.numel() for p in model.backbone.parameters() if p.requires_grad)
    assert rates['text CLIP', None, None] == sum(
        p.numel() for p in model.text_encoder.parameters())
    assert ('neck', 0.1, 0.01) in rates and ('neck', 0.1, 0.0) in rates
    assert [part for part, *_ in rows][0] == 'image CLIP'


def runner_of(tmp_path, **changes):
    return Runner.from_cfg(Config(dict(
        model=toy_model_config(vocabulary='mini-20', ignore_index=65535),
        work_dir=str(tmp_path), default_scope='mmseg', randomness=dict(seed=1),
        train_dataloader=loader(4), optim_wrapper=OPTIM,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=3),
        custom_hooks=[dict(type='VocabularyHook')], log_level='INFO',
        experiment_name=tmp_path.name) | changes))


def test_report_and_costs_of_a_training(tmp_path):
    hooks = dict(parameters=dict(type='ParameterReportHook'),
                 cost=dict(type='CostHook', out='cost.json'),
                 checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1))
    (tmp_path / 'a').mkdir()
    runner_of(tmp_path / 'a', default_hooks=hooks,
              train_cfg=dict(type='IterBasedTrainLoop', max_iters=2)).train()
    first = json.loads((tmp_path / 'a' / 'cost.json').read_text())
    assert first['iterations'] == 2 and first['seconds'] > 0 and first['GiB'] > 0
    log = next((tmp_path / 'a').glob('*/*.log')).read_text()
    assert 'text CLIP' in log and 'frozen' in log and 'learning rate' in log
    # resumed, the seconds go on
    again = runner_of(tmp_path / 'a', default_hooks=hooks, resume=True)
    again.train()
    last = json.loads((tmp_path / 'a' / 'cost.json').read_text())
    assert last['iterations'] == 3 and last['seconds'] > first['seconds']


def test_costs_and_selection_of_a_test(tmp_path):
    metric = dict(type='OVIoUMetric', ignore_index=65535, seen='mini-seen')
    results = []
    for batch_size in (1, 2):
        folder = tmp_path / str(batch_size)
        folder.mkdir()
        runner = runner_of(
            folder, test_dataloader=loader(4, batch_size), test_evaluator=metric,
            test_cfg=dict(type='TestLoop'), default_hooks=dict(
                cost=dict(type='CostHook', out='cost.json')))
        torch.manual_seed(0)
        for p in runner.model.parameters():
            torch.nn.init.normal_(p, std=0.1)
        results.append(runner.test())
        cost = json.loads((folder / 'cost.json').read_text())
        assert cost['tests'][0]['images'] == 4 - batch_size  # all but the first batch
        assert cost['tests'][0]['seconds_per_image'] > 0
    assert results[0]['selection_recall'] == results[1]['selection_recall']
    assert results[0]['selection_count'] == results[1]['selection_count'] > 0


def test_losses_that_are_no_numbers():
    samples = toy_samples([(8, 8), (8, 8)])['data_samples']
    samples[0].set_metainfo(dict(img_path='good/a.jpg'))
    fine = {'decode.loss_bce': torch.tensor(1.0), 'selection.recall': torch.tensor(0.5)}
    check_finite(fine, samples)
    check_finite(fine | {'selection.recall': torch.tensor(float('nan'))}, samples)
    MessageHub.get_current_instance().update_info('iter', 41)
    for value in (float('nan'), float('inf')):
        with pytest.raises(FloatingPointError, match=(
                r'iteration 42 .*loss_bce (nan|inf).*good/a.jpg, .*without img_path'
                '.*clip_grad')):
            check_finite({'decode.loss_bce': torch.tensor(value)}, samples)


def test_training_stops_before_the_step():
    model = toy_model().train()
    with torch.no_grad():
        model.decode_head.conv_seg.bias.fill_(float('inf'))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    wrapper = OptimWrapper(torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.1))
    with pytest.raises(FloatingPointError, match='go on from the last checkpoint'):
        model.train_step(toy_samples([(32, 32)]), wrapper)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_share_of_loaded_keys_is_logged(monkeypatch):
    tower = torch.nn.Linear(2, 2)
    lines = []
    monkeypatch.setattr('mmseg_dcpclip.models.clip.layers.print_log',
                        lambda text, logger, level=logging.INFO: lines.append(text))
    state = dict(tower.state_dict(), other=torch.zeros(1))
    load_tower(tower, state, "'tag' for model")
    assert lines == ["CLIP weights 'tag' for model: 2 of 2 keys loaded (100%), 1 not "
                     'needed']
    with pytest.raises(ValueError, match='1 of 2 keys are missing'):
        load_tower(tower, dict(weight=state['weight']), 'x')
