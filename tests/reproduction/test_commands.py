"""The commands of runs."""

import sys
from pathlib import Path

from mmseg_dcpclip.reproduction import commands
from mmseg_dcpclip.reproduction.plan import Run
from mmseg_dcpclip.reproduction.settings import Settings
from mmseg_dcpclip.shipped import config_path

JOB = Run('full', 3, Path('out/seed3'), ['a=1'], 'digest', 600)


def test_one_process():
    command = commands.train_command(Settings([4]), JOB)
    assert command[:5] == [sys.executable, '-m', 'mmseg_dcpclip.cli', 'train',
                           str(config_path('dcpclip_mini_paper'))]
    assert command[-1] == 'a=1' and 'randomness.seed=3' in command
    assert 'default_hooks.checkpoint.interval=30' in command
    command = commands.test_command(Settings([4]), JOB, 'tga_ca')
    config = config_path('ablations/mini/dcpclip_mini_tga_ca')
    checkpoint = Path('out/seed3/train/iter_600.pth')
    assert command[3:6] == ['test', str(config), str(checkpoint)]


def test_several_gpus(monkeypatch):
    monkeypatch.delenv('PORT', raising=False)
    settings = Settings([4], world='real', gpus=2,
                        data_root=dict(ade20k_150='A', coco_stuff_171='B'))
    train = commands.train_command(settings, JOB, slot=1)
    assert train[:10] == [
        sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2',
        '--master_port=29501', '-m', 'mmseg_dcpclip.cli', 'train', '--launcher',
        'pytorch']
    assert 'train_dataloader.batch_size=2' in train
    monkeypatch.setenv('PORT', '31000')
    test = commands.test_command(settings, JOB, 'full', slot=1)
    assert '--master_port=31001' in test and test[7] == 'test'
    # the training set is none of the benchmarks
    assert test[test.index('--data-root') + 1:][:2] == ['ade20k_150=A', '--cfg-options']


def test_efficiency_measures_the_small_model_on_a_small_picture():
    command = commands.efficiency_command(Settings([2]))
    assert command[:4] == [sys.executable, '-m', 'mmseg_dcpclip.cli', 'benchmark']
    assert command[-4:] == ['--config', str(config_path('dcpclip_mini_paper')),
                            '--size', '96']
    assert '--config' not in commands.efficiency_command(Settings([2], 'real'))
