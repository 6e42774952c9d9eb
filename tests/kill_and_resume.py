"""Kills a training again and again, resumes it, and compares it with one left alone.

    python tests/kill_and_resume.py --kills 20

The training has no seed of its own, augments its pictures, draws random numbers in its
steps, validates, and keeps one checkpoint. It is killed (-9) at random, inside the
writing of a checkpoint, of ``last_checkpoint``, and before the old checkpoint is
removed; every other try loads its pictures in two workers.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import toys  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.fileio import LocalBackend  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from mmseg.registry import MODELS  # noqa: E402

from mmseg_dcpclip.engine import AnywhereRunner, ResumableCheckpointHook  # noqa: E402
from mmseg_dcpclip.engine.hooks import checkpoint_hook  # noqa: E402
from mmseg_dcpclip.engine.resuming import find_resumable  # noqa: E402
from mmseg_dcpclip.models import OpenVocabDataPreProcessor  # noqa: E402
from mmseg_dcpclip.models.weight_files import read_weight_file  # noqa: E402

INTERVAL = 3
WAYS = ('at random', 'inside a checkpoint', 'inside last_checkpoint',
        'before the old one is removed')
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations')]
AUGMENT = [dict(type='RandomCrop', crop_size=(32, 32), ignore_index=65535),
           dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion')]
PACK = [dict(type='PackSegInputs')]


@MODELS.register_module()
class NoisyPreProcessor(OpenVocabDataPreProcessor):
    """Draws from all three generators in each step of a training."""

    def forward(self, data, training=False):
        data = super().forward(data, training)
        if training:
            data['inputs'] = [image + torch.randn(()) * 0.1 + np.random.rand() * 0.1
                              + random.random() * 0.1 for image in data['inputs']]
        return data


class Count(Hook):
    """Tells the parent process how far the training is."""

    def __init__(self, steps):
        self.steps = steps

    def after_train_iter(self, runner, *args, **kwargs):
        self.steps.value = runner.iter + 1


def loader(pipeline, pictures, workers=0, **sampler):
    return dict(
        batch_size=2, num_workers=workers, persistent_workers=workers > 0,
        sampler=dict(shuffle=True, **sampler),
        dataset=dict(type='MiniWorldDataset', categories='mini-20', side=40,
                     num_pictures=pictures, pipeline=pipeline, ignore_index=65535))


def train(work_dir, steps, seed=None, workers=0, resume=True, hooks=()):
    """Train, to the end or to what a hook does."""
    init_default_scope('mmseg')
    torch.set_num_threads(1)
    runner = AnywhereRunner.from_cfg(Config(dict(
        model=toys.toy_model_config(
            vocabulary='mini-20', ignore_index=65535, data_preprocessor=dict(
                type='NoisyPreProcessor', mean=[120.] * 3, std=[60.] * 3)),
        work_dir=str(work_dir), default_scope='mmseg', log_level='ERROR',
        randomness=dict(seed=seed), resume=resume,
        train_dataloader=loader([*LOAD, *AUGMENT, *PACK], 10, workers,
                                type='InfiniteSampler'),
        val_dataloader=loader([*LOAD, *PACK], 2, type='DefaultSampler'),
        val_evaluator=dict(type='OVIoUMetric', ignore_index=65535), val_cfg={},
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=5),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=steps, by_epoch=False)],
        default_hooks=dict(checkpoint=dict(
            type='ResumableCheckpointHook', by_epoch=False, interval=INTERVAL,
            max_keep_ckpts=1, save_best='mIoU')),
        custom_hooks=[dict(type='VocabularyHook')])))
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()


def die(*args, **kwargs):
    os.killpg(0, signal.SIGKILL)


def die_at(way):
    """Let this process kill itself at its next but one checkpoint."""
    put, write, calls = LocalBackend.put, checkpoint_hook.write_atomic, Counter()

    def second(name):
        calls[name] += 1
        return calls[name] == 2

    def put_half(self, content, path):
        if second('put'):
            Path(path).write_bytes(content[:len(content) // 2])
            die()
        put(self, content, path)

    if way == 'inside a checkpoint':
        LocalBackend.put = put_half
    elif way == 'inside last_checkpoint':
        checkpoint_hook.write_atomic = lambda *args: (
            die() if second('write') else write(*args))
    elif way == 'before the old one is removed':
        ResumableCheckpointHook._remove = die


def attempt(work_dir, steps, way, workers, done):
    """What one process does, until it is killed or the training ends."""
    os.setsid()
    np.random.seed()  # as in a process of its own: MMEngine draws the seed from it
    die_at(way)
    train(work_dir, steps, workers=workers, hooks=[Count(done)])


def run_killed(work_dir, kills, steps, rng):
    """Train, killed again and again.

    Returns:
        Counter: How often in which way.
    """
    count, fork = Counter(), multiprocessing.get_context('fork')
    while True:
        tries = count.total()
        way = WAYS[tries % len(WAYS)] if tries < kills else None
        done = fork.Value('i', 0)
        before = find_resumable(work_dir).path
        process = fork.Process(target=attempt, args=(
            work_dir, steps, way, 2 * (tries % 2), done))
        process.start()
        if way == 'at random':
            wanted = rng.randrange(2 * INTERVAL)
            start = int(before.stem.split('_')[1]) if before else 0
            while process.is_alive() and done.value < start + wanted:
                time.sleep(0.005)
            time.sleep(rng.random() * 0.1)
            if process.is_alive():
                os.killpg(process.pid, signal.SIGKILL)
        process.join()
        if process.exitcode == 0:
            return count
        assert process.exitcode == -signal.SIGKILL, 'the training failed'
        count[way] += 1
        after = find_resumable(work_dir).path
        assert after or not before, 'no sound checkpoint is left'


def tensors(content, prefix=''):
    """All tensors and numbers in something, by their places."""
    pairs = (content.items() if isinstance(content, dict) else
             enumerate(content) if isinstance(content, (list, tuple)) else ())
    found = {} if pairs else {prefix: content}
    for key, value in pairs:
        found |= tensors(value, f'{prefix}.{key}')
    return found


def differences(one, other, what):
    """Names of what is not equal to the bit in two checkpoints, and how many are."""
    left, right = (tensors({key: content[key] for key in what})
                   for content in (one, other))
    assert left.keys() == right.keys()
    return [key for key, value in left.items() if not (
        torch.equal(value, right[key]) if isinstance(value, torch.Tensor)
        else value == right[key])], len(left)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0, help='of the times of the kills')
    args = parser.parse_args()
    steps = 2 * INTERVAL * (args.kills + 1)
    with tempfile.TemporaryDirectory() as folder:
        killed, alone = Path(folder, 'killed'), Path(folder, 'alone')
        killed.mkdir()
        count = run_killed(killed, args.kills, steps, random.Random(args.seed))
        last = read_weight_file(killed / f'iter_{steps}.pth')
        train(alone, steps, seed=last['meta']['seed'], resume=False)
        reference = read_weight_file(alone / f'iter_{steps}.pth')
    unequal, total = differences(
        last, reference, ('state_dict', 'optimizer', 'param_schedulers'))
    print(f'{count.total()} kills in {steps} steps: '
          + ', '.join(f'{number} {way}' for way, number in count.items()))
    print(f'{total - len(unequal)} of {total} weights and values of the optimiser and '
          'the schedule are equal to the bit')
    return int(bool(unequal) or count.total() < args.kills)


if __name__ == '__main__':
    sys.exit(main())
