"""`dcpclip train` and what it promises: resume, AMP, processes, real configs."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from shutil import rmtree

import pytest
import torch
from data_trees import make_coco_stuff_tree, make_own_tree
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import RUNNERS
from ports import free_port

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.engine.sharding import fsdp_runs_on_cpu
from mmseg_dcpclip.models.weight_files import read_weight_file

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / 'tests'
ENV = dict(OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))

# dcpclip_mini.py made small
TINY = [
    'model.neck.cost_dims=8', 'model.decode_head.cost_dims=8',
    'model.decode_head.num_layers=1', 'model.decode_head.num_heads=(2,)',
    'train_dataloader.batch_size=1', 'train_dataloader.dataset.side=32',
    'train_dataloader.dataset.num_pictures=8', 'val_dataloader.dataset.num_pictures=1',
    'val_dataloader.dataset.side=32', 'val_dataloader.dataset.categories=mini-20',
    'default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=2',
    'log_level=WARNING',
]

# a real config on a random mini CLIP
MINI_CLIP = [
    'model.backbone.model_name=mini-ViT-8', 'model.backbone.pretrained=None',
    'model.backbone.out_indices=(1,3)', 'model.neck.embed_dims=128',
    'model.text_encoder.model_name=mini-ViT-8', 'model.text_encoder.pretrained=None',
    'model.decode_head.shallow_dims=128', 'model.decode_head.cost_dims=16',
    'model.neck.cost_dims=16',
]


def train(config, work_dir, options, *flags):
    """Exit status of a training in this process."""
    return main([
        'train', str(config), '--work-dir', str(work_dir), *flags,
        '--cfg-options', *options,
        # visualizers are kept by name: without one of its own it logs elsewhere
        f'visualizer.name={uuid.uuid4().hex}'])


def scalars(work_dir):
    """All logged training steps of a work dir, in order."""
    rows = []
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        rows += [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if 'loss' in row]


def test_train_resume_and_amp(tmp_path):
    config = ROOT / 'configs' / 'dcpclip_mini.py'
    run, length = tmp_path / 'run', 'train_cfg.max_iters={0} train_cfg.val_interval={0}'
    assert train(config, run, TINY + length.format(2).split()) == 0
    assert (run / 'iter_2.pth').is_file() and len(scalars(run)) == 2
    assert train(config, run, TINY + length.format(4).split(), '--resume') == 0
    assert [row['step'] for row in scalars(run)] == [1, 2, 3, 4]
    states = [torch.load(run / f'iter_{i}.pth', weights_only=False)['state_dict']
              for i in (2, 4)]
    changed = {k for k in states[0] if not torch.equal(states[0][k], states[1][k])}
    trained = [k for k in changed if k.startswith('backbone')]
    # of CLIP only the q and v weights move, of the text nothing
    assert trained and all(k.endswith(('q_proj.weight', 'v_proj.weight'))
                           for k in trained)
    assert not any(k.startswith('text_encoder') for k in changed)
    assert any(k.startswith('decode_head') for k in changed)

    assert train(config, tmp_path / 'amp', TINY + length.format(2).split(),
                 '--amp') == 0
    used = Config.fromfile(tmp_path / 'amp' / 'dcpclip_mini.py').optim_wrapper.type
    cuda = torch.cuda.is_available()
    assert used == ('AmpOptimWrapper' if cuda else 'CPUAmpOptimWrapper')
    amp = torch.load(tmp_path / 'amp' / 'iter_2.pth', weights_only=False)['state_dict']
    head = {k: v for k, v in amp.items() if k.startswith('decode_head')}
    assert all(v.dtype in (torch.float32, torch.int64) and torch.isfinite(v).all()
               for v in head.values())


def test_learning_rates_and_decay_of_the_groups():
    from mmengine.optim import build_optim_wrapper
    from mmseg.registry import MODELS
    from toys import toy_model_config
    config = Config.fromfile(ROOT / 'configs' / 'dcpclip_vitb16_coco.py')
    model = MODELS.build(toy_model_config())
    groups = build_optim_wrapper(model, config.optim_wrapper).optimizer.param_groups
    rates = {}
    for group in groups:
        for p in group['params']:
            rates[p] = group['lr'], group['weight_decay']
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        assert rates[p][0] == pytest.approx(2e-6 if 'backbone' in name else 2e-4), name
        no_decay = ('norm' in name or 'refine.0' in name or 'refine.3' in name
                    or 'bias_table' in name or 'prompt' in name)
        assert rates[p][1] == (0 if no_decay else 1e-4), name


def run_worker(*arguments, refused=None):
    done = subprocess.run([sys.executable, *arguments], env={**os.environ, **ENV},
                          capture_output=True, text=True)
    if refused:
        assert done.returncode and refused in done.stderr, done.stderr[-3000:]
    else:
        assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope='module')
def worker_of_one(tmp_path_factory):
    """Losses and weights of a training by one process, with batches of two."""
    out = tmp_path_factory.mktemp('one') / 'one.json'
    run_worker(str(TESTS / 'ddp_worker.py'), str(out), '2', 'none')
    return json.loads(out.read_text()), read_weight_file(out.with_suffix('.pth'))


@pytest.mark.parametrize('kind', ['ddp', 'fsdp'])
def test_two_processes_equal_one(kind, worker_of_one, tmp_path):
    """Gloo, the same total batch: the same losses, and the same weights at the end.

    The two pictures of a batch have very different shares of labelled pixels: a loss
    that weighs pixels by process, not by image, fails. In shards the weights are those
    of the checkpoint, and blocks are computed again in the backward pass.
    """
    out = tmp_path / 'two.json'
    refused = ('needs a GPU' if kind == 'fsdp' and not fsdp_runs_on_cpu() else None)
    run_worker('-m', 'torch.distributed.run', '--nproc_per_node=2',
               '--master_addr=127.0.0.1', f'--master_port={free_port()}',
               str(TESTS / 'ddp_worker.py'), str(out), '1', 'pytorch', kind,
               refused=refused)
    if refused:
        return
    losses, weights = worker_of_one
    assert len(losses) == 4 and len(set(losses)) == 4
    assert json.loads(out.read_text()) == pytest.approx(losses, rel=1e-4)
    found = read_weight_file(tmp_path / 'two' / 'iter_4.pth' if kind == 'fsdp'
                             else out.with_suffix('.pth'))
    found = found.get('state_dict', found)
    assert set(found) == set(weights)
    for key, value in weights.items():
        # a step of AdamW is about 1e-2
        torch.testing.assert_close(found[key], value, atol=1e-4, rtol=0, msg=key)


def test_the_runner_of_the_config_trains(tmp_path, capsys):
    """Any runner, by name or as a class; one that is not there is named."""
    config = tmp_path / 'own.py'
    config.write_text(f"""
_base_ = '{ROOT / 'configs' / 'dcpclip_mini.py'}'
runner_type = 'NoteRunner'
""")
    trained = []

    @RUNNERS.register_module(force=True)
    class NoteRunner(Runner):

        def train(self):
            trained.append(type(self))

    assert train(config, tmp_path / 'work', TINY) == 0 and trained == [NoteRunner]
    assert train(config, tmp_path / 'work', TINY + ['runner_type=Nobody']) == 1
    assert "no runner_type 'Nobody'" in capsys.readouterr().err
    assert train('dcpclip_vitl14_coco_fsdp', tmp_path / 'work', [], '--amp') == 1
    assert '--amp does not go with a strategy' in capsys.readouterr().err


def test_scripts_are_sound():
    for script in sorted((ROOT / 'tools').glob('*.sh')):
        subprocess.run(['bash', '-n', str(script)], check=True)
        asked = subprocess.run(['bash', str(script)], capture_output=True, text=True)
        assert asked.returncode == 2 and 'Usage' in asked.stderr


def test_missing_config_is_named(capsys):
    assert main(['train', 'configs/none.py']) == 1
    assert 'configs/none.py' in capsys.readouterr().err


def test_config_without_data_is_named(capsys, tmp_path):
    config = tmp_path / 'no_data.py'
    config.write_text("model = dict(type='DCPCLIP')\n")
    assert main(['train', str(config)]) == 1
    assert 'no train_dataloader' in capsys.readouterr().err
    real = str(ROOT / 'configs' / 'dcpclip_vitb16_coco.py')
    assert main([
        'train', real, '--work-dir', str(tmp_path / 'run'), '--cfg-options',
        *MINI_CLIP, f'train_dataloader.dataset.data_root={tmp_path}']) == 1
    assert 'images/train2017' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['train', 'test'])
def test_tools_are_the_same_commands(name):
    """Where MMSegmentation's users look, from any folder."""
    outputs = [subprocess.run([sys.executable, *command, '--help'], check=True,
                              capture_output=True, text=True, cwd='/').stdout
               for command in ([str(ROOT / 'tools' / f'{name}.py')],
                               ['-m', 'mmseg_dcpclip.cli', name])]
    assert outputs[0] == outputs[1] and '--cfg-options' in outputs[0]


def test_real_config_trains_and_tests_on_a_coco_stuff_tree(tmp_path):
    """Two iterations and a test of ViT-B/16, as it is but for data and weights.

    Two prompts a word are enough here: all eighty take three minutes to encode.
    """
    # MMEngine removes blanks from --cfg-options
    tree = make_coco_stuff_tree(tmp_path / 'coco', num_train=2, num_val=1,
                                size=(60, 80))
    config = ROOT / 'configs' / 'dcpclip_vitb16_coco.py'
    options = [
        '--cfg-options', 'model.backbone.pretrained=None',
        'model.text_encoder.pretrained=None', 'model.neck.num_templates=2',
        "model.text_encoder.templates=['{}','a{}']",
        *(f'{split}_dataloader.dataset.data_root={tree}'
          for split in ('train', 'val', 'test'))]
    short = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2']
    work_dir = tmp_path / 'run'
    cache = tmp_path / 'cache'  # the test finds there what training encoded
    env = {**os.environ, **ENV, 'OMP_NUM_THREADS': str(os.cpu_count()),
           'MMSEG_DCPCLIP_CACHE': str(cache)}
    subprocess.run([sys.executable, str(ROOT / 'tools' / 'train.py'), str(config),
                    '--work-dir', str(work_dir), *options, *short],
                   env=env, check=True, capture_output=True, cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'test.py'), str(config),
         str(work_dir / 'iter_2.pth'), '--work-dir', str(work_dir), *options],
        env=env, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert 'mIoU' in done.stdout + done.stderr
    assert 'encoding' not in done.stdout + done.stderr
    assert len(list(cache.glob('text/*/meta.json'))) == 1


def test_own_dataset_config_trains_and_tests(tmp_path):
    """Folders and a text file of names; nothing else but the data root is given."""
    tree = make_own_tree(tmp_path / 'own')
    config = ROOT / 'configs' / 'dcpclip_vitb16_own.py'
    options = [*MINI_CLIP, f'data_root={tree}',
               *(f'{split}_dataloader.num_workers=0'
                 for split in ('train', 'val', 'test')),
               'log_level=WARNING', "model.text_encoder.templates=['{}']",
               'model.neck.num_templates=1']
    run = tmp_path / 'run'
    assert train(config, run, [
        *options, 'train_cfg.max_iters=1', 'train_cfg.val_interval=1']) == 0
    state = torch.load(run / 'iter_1.pth', weights_only=False)
    assert tuple(state['meta']['dataset_meta']['classes']) == ('cat', 'dog', 'café')
    code = main(['test', str(config), str(run / 'iter_1.pth'), '--work-dir', str(run),
                 '--cfg-options', *options])
    assert code == 0
    # Pictures alone: nothing to score, predictions only.
    rmtree(tree / 'labels')
    words = ['test', str(config), str(run / 'iter_1.pth'), '--work-dir', str(run),
             '--no-labels', '--cfg-options', *options]
    assert main(words) == 1  # without --out there is nothing to do
    assert main([*words, '--out', str(tmp_path / 'out')]) == 0
    assert sorted(path.name for path in (tmp_path / 'out').rglob('*.png')) == [
        '0.png', '1.png']
