"""Processes of runs: what they find, and that none is left behind."""

import os
import sys
import time

import pytest

from mmseg_dcpclip.reproduction import commands
from mmseg_dcpclip.reproduction.plan import Plan
from mmseg_dcpclip.reproduction.settings import Settings
from mmseg_dcpclip.reproduction.workers import Workers, environment, threads_of
from mmseg_dcpclip.shipped import PACKAGE


def test_environment(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', 'mine')
    settings = Settings([4], jobs=1000)
    env = environment(settings, 0)
    assert env['PYTHONPATH'] == os.pathsep.join([str(PACKAGE.parent), 'mine'])
    assert threads_of(settings) == 1 and env['OMP_NUM_THREADS'] == '1'


def test_efficiency_is_computed_once(tmp_path, monkeypatch):
    plan = Plan(Settings([2], work_dir=tmp_path))
    out = plan.settings.out
    figures = str(out / 'efficiency.json')
    script = f'print("hello", file=open({figures!r}, "w")); print("hello")'
    monkeypatch.setattr(commands, 'efficiency_command',
                        lambda settings: [sys.executable, '-c', script])
    said = []
    Workers(plan, said.append).efficiency()
    assert len(said) == 2 and (out / 'efficiency-record.json').is_file()
    assert (out / 'efficiency.log').read_text() == 'hello\n'
    Workers(plan, said.append).efficiency()
    assert len(said) == 2


def test_interrupted_efficiency_leaves_no_process(tmp_path, monkeypatch):
    plan = Plan(Settings([2], work_dir=tmp_path))
    monkeypatch.setattr(commands, 'efficiency_command', lambda settings: [
        sys.executable, '-c', 'import time; time.sleep(600)'])
    workers = Workers(plan, lambda text: None)

    def interrupted(process):
        raise KeyboardInterrupt

    monkeypatch.setattr('subprocess.Popen.wait', interrupted)
    with pytest.raises(KeyboardInterrupt):
        workers.efficiency()
    process, = workers._processes
    while process.poll() is None:
        time.sleep(0.01)
    assert process.returncode != 0 and not workers.failed
