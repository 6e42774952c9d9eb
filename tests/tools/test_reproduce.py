"""tools/reproduce.py: with stand-ins for the tools, and once for real."""

import json
import signal
import subprocess
import sys

import pytest

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
    if mode == 'interrupt' and not resumed:
        (folder / 'iter_1.pth').write_text('half')
        os.kill(os.getppid(), signal.SIGINT)
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
def reproduce(load_tool, tmp_path, monkeypatch):
    """Runs the tool with stand-ins; ``modes`` says what becomes of a training."""
    tool = load_tool('reproduce.py')
    script = tmp_path / 'fake.py'
    script.write_text(FAKE)
    modes = {}

    def train_command(self, job):
        return [sys.executable, str(script), 'train', str(job.folder / 'train'),
                modes.get((job.config, job.seed), 'run'), '']

    def test_command(self, job, name):
        return [sys.executable, str(script), 'test', str(job.folder / f'test-{name}'),
                'run', str(VALUES[name] + 0.1 * job.seed)]

    monkeypatch.setattr(tool.Reproduction, 'train_command', train_command)
    monkeypatch.setattr(tool.Reproduction, 'test_command', test_command)

    def run(*arguments):
        return tool.main([*arguments, '--work-dir', str(tmp_path / 'out'), '--iters',
                          '4'])

    run.out, run.modes, run.tool = tmp_path / 'out' / 'mini', modes, tool
    run.calls = lambda name, seed=0: [
        path.read_text().split()
        for path in run.out.glob(f'runs/{name}-????????/seed{seed}/calls.txt')]
    return run


def read(path):
    return json.loads(path.read_text())


def test_dry_run_writes_nothing(load_tool, tmp_path, capsys):
    code = load_tool('reproduce.py').main([
        'table3', 'table4', '--dry-run', '--seeds', '0', '1', '--work-dir',
        str(tmp_path), '--cfg-options', 'log_level=ERROR'])
    out = capsys.readouterr().out
    assert code == 0 and not list(tmp_path.iterdir())
    # Ten rows: 'full' stands in both tables, dcs_tga_sed and dcs_sed share trainings.
    assert '14 runs, 14 of them not finished' in out
    train = [line for line in out.splitlines() if 'train.py' in line]
    test = [line for line in out.splitlines() if 'test.py' in line]
    assert len(train) == 14 and len(test) == 18
    assert all('--resume' in line and 'log_level=ERROR' in line for line in train)
    assert sum('randomness.seed=1' in line for line in train) == 7
    assert sum('iter_600.pth' in line for line in test) == 18


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


def test_schedule_is_shortened_in_proportion(load_tool):
    from mmengine.config import Config
    tool = load_tool('reproduce.py')
    config = Config(dict(train_cfg=dict(max_iters=1000), param_scheduler=[
        dict(begin=0, end=100), dict(T_max=1000)]))
    assert tool.scaled_schedule(config, 20) == [
        'train_cfg.max_iters=20', 'train_cfg.val_interval=20',
        'param_scheduler.0.end=2', 'param_scheduler.1.T_max=20']


def test_real_world_says_what_is_missing(load_tool, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    code = load_tool('reproduce.py').main([
        'table4', '--world', 'real', '--work-dir', str(tmp_path / 'out'),
        '--cfg-options', 'model.backbone.pretrained=no/clip.pt',
        'model.text_encoder.pretrained=no/clip.pt'])
    out = capfd.readouterr().out
    assert code == 1 and not (tmp_path / 'out').exists()
    for text in ('coco_stuff.py', 'NEXT', 'PROBLEM', 'no/clip.pt', 'not started'):
        assert text in out


@pytest.mark.parametrize('arguments, message', [
    (['table4', '--jobs', '0'], 'at least 1'),
    (['table4', '--world', 'real', '--gpus', '3'], 'total batch of 4'),
    (['table8'], 'table8'),
])
def test_bad_arguments(load_tool, capsys, arguments, message):
    with pytest.raises(SystemExit):
        load_tool('reproduce.py').main(arguments)
    assert message in capsys.readouterr().err


def test_for_real_after_an_interruption(load_tool, tmp_path):
    """Table I on the small world: the training goes on from its first iteration."""
    small = [f'benchmarks.{name}.dataloader.dataset.{key}'
             for name in ('mini-847', 'mini-459', 'mini-150', 'mini-59', 'mini-20')
             for key in ('num_pictures=2', 'side=32', 'categories=mini-20')]
    options = ['table1', '--seeds', '3', '--iters', '2', '--work-dir',
               str(tmp_path / 'with blank'), '--cfg-options',
               'train_dataloader.batch_size=1', 'train_dataloader.dataset.side=64',
               'val_dataloader.dataset.num_pictures=1',
               'val_dataloader.dataset.categories=mini-20', *small]
    tool = load_tool('reproduce.py')
    plan = tool.Reproduction(tool.parse_args(options))
    job = next(job for job in plan.jobs if job.config == 'full')
    command = plan.train_command(job) + ['train_cfg.max_iters=1']
    subprocess.run(command, check=True, capture_output=True,
                   env=tool.Workers(plan)._environment(0))
    assert (job.folder / 'train' / 'iter_1.pth').is_file()
    assert tool.main(options) == 0
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
