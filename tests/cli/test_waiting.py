"""OpenMP is told how to wait before torch is there."""

import os
import subprocess
import sys

import pytest

ASK = '''
import os, sys
import mmseg_dcpclip.cli as cli
assert 'torch' not in sys.modules
class Finder:
    def find_spec(self, name, *args):
        if name == 'torch':
            print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'),
                  file=sys.__stdout__, flush=True)
            os._exit(0)
sys.meta_path.insert(0, Finder())
sys.exit(cli.main(['weights', '--debug']))
'''


@pytest.mark.parametrize('own, seen', [
    ({}, 'passive 1000'), (dict(OMP_WAIT_POLICY='active'), 'active None'),
    (dict(GOMP_SPINCOUNT='9'), 'None 9')], ids=['none', 'policy', 'spins'])
def test_said_before_torch_is_imported(own, seen):
    env = {k: v for k, v in os.environ.items()
           if k not in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')}
    done = subprocess.run([sys.executable, '-c', ASK], env={**env, **own}, text=True,
                          capture_output=True, check=True)
    assert done.stdout.split() == seen.split(), done.stderr
