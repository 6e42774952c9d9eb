"""``dcpclip reproduce``: with stand-ins for its commands, and once for real."""

import json
import signal
import subprocess
import sys

import pytest

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.reproduction import commands
from mmseg_dcpclip.reproduction.plan import Plan
from mmseg_dcpclip.reproduction.settings import Settings
from mmseg_dcpclip.reproduction.workers import environment

# Trains by writing a checkpoint, tests by writing scores that depend on the seed.
FAKE = '''
import json, os, pathlib, signal, sys, time
stage, folder, mode, value = sys.argv[1:]
folder = pathlib.Path(folder)
folder.mkdir(parents=True, exist_ok=True)
with open(folder.parent / 'calls.txt', 'a') as file:
    file.write(stage + ' ')
if stage == 'train':
    resumed = (folder / 'last_checkpoint').is_file()
    (folder / 'last_checkpoint').write_text('iter_1.pth')
    if mode in ('interrupt', 'terminate') and not resumed:
        (folder / 'iter_1.pth').write_text('half')
        os.kill(os.getppid(),
                signal.SIGINT if mode == 'interrupt' else signal.SIGTERM)
        time.sleep(60)
    if mode == 'fail':
        sys.exit('no luck with this one')
    (folder / 'iter_4.pth').write_text('weights')
    (folder / 'cost.json').write_text(json.dumps(dict(
        seconds=5.0, GiB=1.0, memory='toy memory')))
else:
    rows = [dict(name=n, images=2, scores=dict(
        mIoU=float(value), unseen_mIoU=float(value), mIoU_union=1.0))
        for n in ('mini-847', 'mini-459', 'mini-150', 'mini-59', 'mini-20')]
    (folder / 'benchmarks.json').write_text(json.dumps(dict(benchmarks=rows)))
'''
VALUES = dict(tga_none=50, tga_ca=52, tga_sa=49, full=55)


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    """Runs the command with stand-ins; ``modes`` says what becomes of a training."""
    script = tmp_path / 'fake.py'
    script.write_text(FAKE)
    modes = {}

    def train_command(settings, job, slot=0):
        return [sys.executable, str(script), 'train', str(job.folder / 'train'),
                modes.get((job.config, job.seed), 'run'), '']

    def test_command(settings, job, name, slot=0):
        return [sys.executable, str(script), 'test', str(job.folder / f'test-{name}'),
                'run', str(VALUES[name] + 0.1 * job.seed)]

    monkeypatch.setattr(commands, 'train_command', train_command)
    monkeypatch.setattr(commands, 'test_command', test_command)

    def run(*arguments):
        return main(['reproduce', *arguments, '--work-dir', str(tmp_path / 'out'),
                     '--iters', '4'])

    run.out, run.modes = tmp_path / 'out' / 'mini', modes
    run.calls = lambda name, seed=0: [
        path.read_text().split()
        for path in run.out.glob(f'runs/{name}-????????/seed{seed}/calls.txt')]
    return run


def read(path):
    return json.loads(path.read_text())


def test_dry_run_writes_nothing(tmp_path, capsys):
    code = main([
        'reproduce', 'table3', 'table4', '--dry-run', '--seeds', '0', '1', '--work-dir',
        str(tmp_path), '--cfg-options', 'log_level=ERROR'])
    out = capsys.readouterr().out
    assert code == 0 and not list(tmp_path.iterdir())
    # Eleven rows: 'full' stands in both tables, dcs_tga_sed and dcs_sed share runs.
    assert '16 runs, 16 of them not finished' in out
    train = [line for line in out.splitlines() if 'mmseg_dcpclip.cli train ' in line]
    test = [line for line in out.splitlines() if 'mmseg_dcpclip.cli test ' in line]
    assert len(train) == 16 and len(test) == 20
    assert all('--resume' in line and 'log_level=ERROR' in line for line in train)
    assert sum('randomness.seed=1' in line for line in train) == 8
    assert sum('iter_600.pth' in line for line in test) == 20


def test_scenes_are_the_small_world_on_other_pictures(tmp_path, capsys):
    assert main(['reproduce', 'table3', '--dry-run', '--seeds', '0', '--work-dir',
                 str(tmp_path), '--world', 'scenes']) == 0
    lines = capsys.readouterr().out.splitlines()
    train = [line for line in lines if 'mmseg_dcpclip.cli train ' in line]
    test = [line for line in lines if 'mmseg_dcpclip.cli test ' in line]
    assert len(train) == 6 and len(test) == 7
    assert all('train_dataloader.dataset.scenes=True' in line for line in train)
    assert all('--benchmarks scene-847 scene-459 scene-150 scene-59 scene-20 ' in line
               and '/scenes/runs/' in line for line in test)
    scenes, mini = (Plan(Settings([1], world, [0])) for world in ('scenes', 'mini'))
    for one, other in zip(scenes.jobs, mini.jobs, strict=True):
        assert one.config == other.config and one.digest != other.digest
    for job in scenes.jobs:
        assert scenes.load(job.config, job.options).val_dataloader.dataset.scenes


def test_runs_and_tables(reproduce, capsys):
    assert reproduce('table4', '--seeds', '0', '1', '--jobs', '2') == 0
    content = read(reproduce.out / 'table4.json')
    assert [row['cells'][0]['ours']['mean'] for row in content['rows']] == [
        50.05, 52.05, 49.05, 55.05]
    assert [claim['verdict'] for claim in content['claims']] == ['holds'] * 3
    assert content['records']['full']['1']['train']['memory'] == 'toy memory'
    record = content['records']['full']['0']['train']
    assert record['command'] and record['digest'] and record['threads'] >= 1
    assert '| CA + SA | 2 | 12.3 | 55.05 ± 0.07 |' in (
        reproduce.out / 'table4.md').read_text()
    capsys.readouterr()
    # finished ones are not repeated
    assert reproduce('table4', '--seeds', '0', '1') == 0
    assert '8 runs, 0 of them not finished' in capsys.readouterr().out
    for name in VALUES:
        assert reproduce.calls(name) == reproduce.calls(name, 1) == [['train', 'test']]


@pytest.fixture
def interruptible():
    """SIGINT interrupts, also in a background job, whose shell has it ignored."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


def test_interrupted_and_resumed(reproduce, capsys, interruptible):
    reproduce.modes['tga_ca', 0] = 'interrupt'
    assert reproduce('table4', '--seeds', '0') == 130
    out = capsys.readouterr().out
    assert 'interrupted' in out
    rows = read(reproduce.out / 'table4.json')['rows']
    assert [row['seeds'] for row in rows] == [[0], [], [], []]
    assert 'not run' in (reproduce.out / 'table4.md').read_text()
    assert reproduce('table4', '--seeds', '0') == 0
    assert 'tga_ca seed 0: goes on from its last checkpoint' in capsys.readouterr().out
    assert reproduce.calls('tga_none') == [['train', 'test']]
    assert reproduce.calls('tga_ca') == [['train', 'train', 'test']]
    folder = next(reproduce.out.glob('runs/tga_ca-*/seed0/train'))
    assert [p.name for p in folder.glob('iter_*.pth')] == ['iter_4.pth']


def test_a_failed_run_does_not_stop_the_others(reproduce, capsys):
    reproduce.modes['tga_ca', 0] = 'fail'
    assert reproduce('table4', '--seeds', '0') == 1
    out = capsys.readouterr().out
    assert 'train tga_ca seed 0 FAILED' in out and 'no luck with this one' in out
    rows = read(reproduce.out / 'table4.json')['rows']
    assert [len(row['seeds']) for row in rows] == [1, 0, 1, 1]


def test_changed_settings_run_anew(reproduce, capsys):
    assert reproduce('table4', '--seeds', '0') == 0
    before = set(reproduce.out.glob('runs/*'))
    capsys.readouterr()
    assert reproduce('table4', '--seeds', '0', '--cfg-options',
                     'optim_wrapper.optimizer.lr=0.5') == 0
    out = capsys.readouterr().out
    assert out.count('optim_wrapper changed since') == 4 and 'runs anew in' in out
    assert len(set(reproduce.out.glob('runs/*')) - before) == 4


def test_changed_test_settings_test_anew(reproduce):
    assert reproduce('table4', '--seeds', '0') == 0
    assert reproduce('table4', '--seeds', '0', '--cfg-options',
                     'benchmarks.mini-20.dataloader.dataset.num_pictures=3') == 0
    assert reproduce.calls('full') == [['train', 'test', 'test']]


def test_real_world_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = main([
        'reproduce', 'table4', '--world', 'real', '--work-dir', str(tmp_path / 'out'),
        '--cfg-options', 'model.backbone.pretrained=no/clip.pt',
        'model.text_encoder.pretrained=no/clip.pt'])
    out = capsys.readouterr().out
    assert code == 1 and not (tmp_path / 'out').exists()
    for text in ('data convert coco_stuff', 'NEXT', 'PROBLEM', 'no/clip.pt',
                 'not started'):
        assert text in out


@pytest.mark.parametrize('arguments, message', [
    (['table4', '--jobs', '0'], 'from 1 on'),
    (['table4', '--world', 'real', '--gpus', '3'], 'total batch of 4'),
    (['table9'], 'table9'),
    (['table4', '--cfg-options', 'x'], 'expected KEY=VALUE, got x'),
])
def test_bad_arguments(capsys, arguments, message):
    with pytest.raises(SystemExit):
        main(['reproduce', *arguments])
    assert message in capsys.readouterr().err


def test_unknown_dataset(tmp_path, capsys):
    assert main(['reproduce', 'table4', '--world', 'real', '--work-dir', str(tmp_path),
                 '--data-root', 'nothing=x']) == 1
    assert 'error: no dataset named nothing' in capsys.readouterr().err


def test_sigterm_is_an_interruption(reproduce, capsys):
    before = signal.getsignal(signal.SIGTERM)
    reproduce.modes['tga_ca', 0] = 'terminate'
    assert reproduce('table4', '--seeds', '0') == 130
    assert 'goes on from the last checkpoints' in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) == before


def test_for_real_after_an_interruption(tmp_path):
    """Table I on the small world: the training goes on from its first iteration."""
    small = [f'benchmarks.{name}.dataloader.dataset.{key}'
             for name in ('mini-847', 'mini-459', 'mini-150', 'mini-59', 'mini-20')
             for key in ('num_pictures=2', 'side=32', 'categories=mini-20')]
    options = ['train_dataloader.batch_size=1', 'train_dataloader.dataset.side=64',
               'val_dataloader.dataset.num_pictures=1',
               'val_dataloader.dataset.categories=mini-20', *small]
    plan = Plan(Settings(tables=[1], seeds=[3], iters=2, cfg_options=options,
                         work_dir=tmp_path / 'with blank'))
    job = next(job for job in plan.jobs if job.config == 'full')
    command = commands.train_command(plan.settings, job) + ['train_cfg.max_iters=1']
    subprocess.run(command, check=True, capture_output=True,
                   env=environment(plan.settings, 0))
    assert (job.folder / 'train' / 'iter_1.pth').is_file()
    assert main(['reproduce', 'table1', '--seeds', '3', '--iters', '2', '--work-dir',
                 str(tmp_path / 'with blank'), '--cfg-options', *options]) == 0
    assert 'resumed epoch: 0, iter: 1' in (job.folder / 'train.log').read_text()
    assert [p.name for p in (job.folder / 'train').glob('iter_*.pth')] == ['iter_2.pth']
    record = read(job.folder / 'record.json')
    assert record['iterations'] == 2 and record['seconds'] > 0 and record['GiB'] > 0
    content = read(tmp_path / 'with blank' / 'mini' / 'table1.json')
    ours = {row['config']: row for row in content['rows'] if row['config']}
    assert set(ours) == {'full', 'dcpclip_mini_frozen'}
    for row in ours.values():
        assert all(cell['ours']['seeds'] == 1 for cell in row['cells'])
    test = content['records']['full']['3']['tests']['mini-847']
    assert test['scores']['selection_count'] > 0 and 'mIoU_union' in test['scores']
    assert content['records']['dcpclip_mini_frozen']['3']['train'] is None
