"""mmseg's own tools with our configs, as they lie in its installation."""

import os
import subprocess
import sys
from pathlib import Path

import mmseg
import pytest
from ports import free_port

from mmseg_dcpclip.shipped import config_path

TOOLS = Path(mmseg.__file__).parent / '.mim' / 'tools'
ROOT = Path(__file__).resolve().parents[1]
TINY = [
    'model.neck.cost_dims=8', 'model.decode_head.num_layers=1',
    'model.decode_head.num_heads=(2,)', 'train_dataloader.batch_size=1',
    'train_dataloader.dataset.num_pictures=4', 'val_dataloader.dataset.num_pictures=1',
    'val_dataloader.dataset.categories=mini-20',
    'test_dataloader.dataset.num_pictures=2',
    'test_dataloader.dataset.categories=mini-20', 'train_cfg.max_iters=1',
    'train_cfg.val_interval=1']


def run(*words, processes=1):
    """Output of one of mmseg's scripts; it must end well."""
    start = [sys.executable]
    if processes > 1:
        start += ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}',
                  f'--master_port={free_port()}']
    done = subprocess.run(
        [*start, *map(str, words)], capture_output=True, text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A work dir of mmseg's tools/train.py with two processes on this machine."""
    folder = tmp_path_factory.mktemp('stock')
    run(TOOLS / 'train.py', config_path('dcpclip_mini'), '--work-dir', folder,
        '--launcher', 'pytorch', '--cfg-options', *TINY, processes=2)
    return folder


@pytest.mark.parametrize('flags', [[], ['--tta']])
def test_trains_and_tests(trained, flags):
    out = run(TOOLS / 'test.py', config_path('dcpclip_mini'), trained / 'iter_1.pth',
              '--work-dir', trained / 'test', *flags, '--cfg-options', *TINY)
    assert 'unseen_mIoU' in out


def test_all_benchmarks(trained, tmp_path):
    config = tmp_path / 'all.py'
    config.write_text(f"""
_base_ = '{config_path('dcpclip_mini')}'
test_cfg = dict(type='BenchmarksTestLoop')
""")
    small = [f'benchmarks.{name}.dataloader.dataset.{key}'
             for name in ('mini-847', 'mini-459', 'mini-150', 'mini-59', 'mini-20')
             for key in ('num_pictures=1', 'side=32')]
    out = run(TOOLS / 'test.py', config, trained / 'iter_1.pth', '--work-dir',
              tmp_path / 'work', '--tta', '--cfg-options', *TINY, *small)
    assert 'benchmark mini-459' in out and 'benchmark mini-20' in out
