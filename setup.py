"""Puts configs, tools and model index into the wheel, as OpenMMLab's packages do.

There the configs lie one folder deeper, ``configs/dcpclip``: mmengine and mim know
configs by METHOD/NAME, ``mmseg_dcpclip::dcpclip/dcpclip_mini.py``.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
CONFIGS = 'configs/dcpclip'
CARRIED = {'configs': CONFIGS, 'tools': 'tools'}
# Their paths of configs are changed.
INDEX = {'model-index.yml': 'model-index.yml',
         'configs/metafile.yml': f'{CONFIGS}/metafile.yml'}


class BuildWithConfigs(build_py):
    """Also copies what mim and ``mmseg_dcpclip.shipped`` look for in ``.mim``."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout itself is used
            return
        target = Path(self.build_lib) / 'mmseg_dcpclip' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for source, place in CARRIED.items():
            shutil.copytree(HERE / source, target / place,
                            ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))
        for source, place in INDEX.items():
            text = (HERE / source).read_text(encoding='utf-8')
            (target / place).write_text(text.replace(' configs/', f' {CONFIGS}/'),
                                        encoding='utf-8')


setup(cmdclass=dict(build_py=BuildWithConfigs))
