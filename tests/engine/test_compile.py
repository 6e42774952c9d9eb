"""mmengine's ``compile`` in a config: the same training and test as without."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from toys import toy_model, toy_model_config

from mmseg_dcpclip.engine import AnywhereRunner

DATASET = dict(
    type='MiniWorldDataset', categories='mini-20', side=32, num_pictures=2,
    ignore_index=65535, pipeline=[
        dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
        dict(type='PackSegInputs')])


def loader(sampler):
    return dict(batch_size=2, num_workers=0, dataset=DATASET, sampler=sampler)


def train_and_test(folder, runner=AnywhereRunner, **changes):
    """Weights after two steps, scores, and whether blocks were compiled."""
    config = Config(dict(
        model=toy_model_config(vocabulary='mini-20', ignore_index=65535),
        work_dir=str(folder), default_scope='mmseg', log_level='ERROR',
        experiment_name=folder.name, randomness=dict(seed=0),
        train_dataloader=loader(dict(type='InfiniteSampler', shuffle=False)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3, eps=1e-4)),
        test_dataloader=loader(dict(type='DefaultSampler', shuffle=False)),
        test_evaluator=dict(type='OVIoUMetric', ignore_index=65535, seen='mini-seen'),
        test_cfg=dict(type='TestLoop'), **changes))
    made = runner.from_cfg(config)
    made.train()
    blocks = made.model.backbone.blocks
    compiled = [block._compiled_call_impl is not None for block in blocks]
    return made.model.state_dict(), made.test(), compiled


@pytest.fixture(scope='module')
def eager(tmp_path_factory):
    return train_and_test(tmp_path_factory.mktemp('eager'))


def test_compiled_equals_eager(eager, tmp_path):
    weights, scores, compiled = train_and_test(tmp_path,
                                               compile=dict(backend='aot_eager'))
    torch._dynamo.reset()
    assert eager[2] == [False] * 5 and compiled == [True] * 4 + [False]
    for name, value in eager[0].items():
        torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=1e-4, msg=name)
    assert scores == pytest.approx(eager[1], abs=0.1)


def test_true_means_torchs_own_choice(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(torch.nn.Module, 'compile',
                        lambda self, **options: asked.append(options))
    train_and_test(tmp_path, compile=True)
    assert asked == [{}] * 8  # four blocks, for training and for the test


def test_a_stock_runner_leaves_the_step_alone(tmp_path):
    """Its way of compiling all, with the optimiser, would never come to an end."""
    for name in ('eager', 'compiled'):
        (tmp_path / name).mkdir()
    plain, *_ = train_and_test(tmp_path / 'eager', Runner)
    weights, _, compiled = train_and_test(tmp_path / 'compiled', Runner, compile=True)
    assert not any(compiled)
    for name, value in plain.items():
        torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=1e-4, msg=name)


def test_what_cannot_be_compiled_is_named():
    model = toy_model()
    model.backbone = MODELS.build(dict(type='ResNetV1c', depth=18))
    with pytest.raises(ValueError, match='ResNetV1c has no whole_blocks'):
        model.compile_blocks()
    with pytest.raises(ValueError, match='ResNetV1c has no get_layer_depth'):
        model.get_layer_depth('backbone.x')
