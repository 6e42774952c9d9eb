"""Words can be read without what models need."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import sys
import mmseg_dcpclip.vocabulary
assert len(mmseg_dcpclip.vocabulary.Vocabulary.load('ade20k_847')) == 847
loaded = {'torch', 'mmseg', 'mmengine'} & set(sys.modules)
assert not loaded, loaded
"""


def test_needs_neither_torch_nor_mmseg():
    # Only a fresh interpreter has imported nothing yet.
    subprocess.run([sys.executable, '-c', CODE], check=True, cwd=ROOT)
