"""Checkpoints survive a kill, and a resumed training is the one that was killed."""

import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from kill_and_resume import AUGMENT, LOAD, PACK, loader, train
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_dcpclip.engine import AnywhereRunner, ResumableCheckpointHook
from mmseg_dcpclip.engine.numbered_data import Place, number_samples
from mmseg_dcpclip.engine.random_state import get_random_state, set_random_state
from mmseg_dcpclip.engine.resuming import find_resumable
from mmseg_dcpclip.models.weight_files import WeightFileError, read_weight_file


def write(path, time='20250101_000000', iteration=1):
    torch.save(dict(meta=dict(time=time, iter=iteration, epoch=0), state_dict={},
                    message_hub={}), path)
    return path.resolve()


def test_the_newest_sound_checkpoint(tmp_path):
    assert find_resumable(tmp_path).path is None
    old = write(tmp_path / 'iter_9.pth', '20240101_000000', 9)  # of an earlier run
    new = write(tmp_path / 'iter_4.pth', '20250101_000000', 4)
    write(tmp_path / 'best_mIoU_iter_6.pth', '20260101_000000', 6)
    torn = write(tmp_path / 'iter_6.pth', '20260101_000000', 6)
    torn.write_bytes(torn.read_bytes()[:-200])
    for pointer in ('', str(tmp_path / 'none.pth'), str(old), 'half/a/pa'):
        (tmp_path / 'last_checkpoint').write_text(pointer)
        found = find_resumable(tmp_path)
        assert found.path == new and list(found.skipped) == [torn]
    for path in (old, new):
        path.unlink()
    with pytest.raises(WeightFileError, match=r'nothing to resume.*iter_6.pth'):
        find_resumable(tmp_path)


def test_the_file_that_last_checkpoint_names_may_lie_elsewhere(tmp_path):
    (tmp_path / 'run').mkdir()
    path = write(tmp_path / 'iter_2.pth')
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(path))
    assert find_resumable(tmp_path / 'run').path == path


def test_resume_in_an_empty_folder_says_that_it_starts_anew(tmp_path):
    lines = []

    class Listen(Hook):

        def before_train(self, runner):
            lines.append(runner._resume)

    from mmengine.logging import MMLogger
    warn = MMLogger.warning
    try:
        MMLogger.warning = lambda self, text, *args: lines.append(text)
        train(tmp_path / 'run', 1, hooks=[Listen()])
    finally:
        MMLogger.warning = warn
    assert any('starts anew' in str(line) for line in lines) and False in lines


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    """``max_keep_ckpts=1``: the old one goes only when the new one is there."""
    from mmengine.fileio import LocalBackend
    put, written = LocalBackend.put, []

    def full(self, content, path):
        written.append(path)
        if len(written) == 2:
            Path(path).write_bytes(content[:100])
            raise OSError('no space left on the device')
        put(self, content, path)

    monkeypatch.setattr(LocalBackend, 'put', full)
    with pytest.raises(OSError, match='no space'):
        train(tmp_path / 'run', 12, seed=0, resume=False)
    assert find_resumable(tmp_path / 'run').path.name == 'iter_3.pth'
    assert not list((tmp_path / 'run').glob('.*.tmp'))


def test_the_best_checkpoint_goes_after_its_successor(tmp_path, monkeypatch):
    seen = []
    hook = ResumableCheckpointHook(save_best='mIoU', max_keep_ckpts=1, by_epoch=False)
    hook.best_ckpt_path = 'old.pth'

    def save(self, runner, metrics):
        assert self.best_ckpt_path is None
        seen.append('written')
        self.best_ckpt_path = metrics['path']

    from mmengine.hooks import CheckpointHook
    monkeypatch.setattr(CheckpointHook, '_save_best_checkpoint', save)
    monkeypatch.setattr(hook, '_remove', seen.append)
    hook._save_best_checkpoint(None, dict(path='new.pth'))
    assert seen == ['written', 'old.pth'] and hook.best_ckpt_path == 'new.pth'
    hook._save_best_checkpoint(None, dict(path=None))  # no better one
    assert hook.best_ckpt_path == 'new.pth' and len(seen) == 3


def draw():
    return random.random(), np.random.rand(), float(torch.rand(()))


def test_states_come_back(tmp_path):
    state = get_random_state()
    torch.save(dict(state=state), tmp_path / 'state.pth')
    expected = draw()
    draw()
    set_random_state(read_weight_file(tmp_path / 'state.pth')['state'])
    assert draw() == expected


def test_a_validation_leaves_the_states_alone():
    hook = ResumableCheckpointHook()
    state = get_random_state()
    expected = draw()
    set_random_state(state)
    hook.before_val(None)
    draw()
    hook.after_val(None)
    assert draw() == expected


def pictures(workers, skip=0, count=6):
    config = number_samples(loader([*LOAD, *AUGMENT, *PACK], 5, workers,
                                   type='InfiniteSampler'), seed=3)
    batches = AnywhereRunner.build_dataloader(config, seed=3)
    if skip:
        batches.sampler.skip(skip)
    found = []
    for batch in batches:
        found += batch['inputs']
        if len(found) >= count:
            return found[:count]


def test_augmentation_hangs_on_the_place_alone():
    alone = pictures(0)
    state = get_random_state()
    for other in (pictures(2), [*alone[:2], *pictures(0, skip=2, count=4)]):
        assert all(torch.equal(a, b) for a, b in zip(alone, other, strict=True))
    assert get_random_state()['numpy'] == state['numpy']
    assert not torch.equal(alone[0], pictures(0, skip=5, count=1)[0])
    finite = Runner.build_dataloader(number_samples(
        loader(PACK, 4, type='DefaultSampler'), 0)).sampler
    finite.set_epoch(2)
    places = list(finite)
    assert all(isinstance(place, Place) for place in places)
    assert [place.number for place in places] == [8, 9, 10, 11]
    assert pickle.loads(pickle.dumps(places[1])).number == 9


def test_no_two_processes_share_a_place():
    numbered = Runner.build_dataloader(number_samples(
        loader(PACK, 4, type='DefaultSampler'), 0)).sampler
    found = []
    for rank in range(3):
        numbered.rank, numbered.processes = rank, 3
        found += [place.number for place, _ in zip(numbered, range(4))]
    assert sorted(found) == list(range(12))


def test_killed_and_resumed_equals_left_alone(tmp_path):
    """One kill of each kind; the pages name the command for more."""
    script = Path(__file__).resolve().parents[1] / 'kill_and_resume.py'
    done = subprocess.run([sys.executable, str(script), '--kills', '4'],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert 'equal to the bit' in done.stdout


def test_a_config_in_a_checkpoint_is_not_run(tmp_path):
    """MMEngine runs ``meta['config']`` on resume."""
    train(tmp_path / 'run', 1, seed=0, resume=False)
    path, mark = tmp_path / 'run' / 'iter_1.pth', tmp_path / 'mark'
    content = read_weight_file(path)
    content['meta']['config'] = f'import pathlib\npathlib.Path({str(mark)!r}).touch()'
    torch.save(content, path)
    train(tmp_path / 'run', 2, seed=0)
    assert (tmp_path / 'run' / 'iter_2.pth').is_file() and not mark.exists()


def test_weights_alone_cannot_be_resumed(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'iter_1.pth')
    with pytest.raises(WeightFileError, match='load_from'):
        train(tmp_path, 1)
