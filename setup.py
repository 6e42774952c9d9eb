"""Puts configs, tools and model index into the wheel, as OpenMMLab's packages do."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
CARRIED = ('configs', 'tools', 'model-index.yml')


class BuildWithConfigs(build_py):
    """Also copies what mim and ``mmseg_dcpclip.shipped`` look for in ``.mim``."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout itself is used
            return
        target = Path(self.build_lib) / 'mmseg_dcpclip' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in CARRIED:
            if (HERE / name).is_dir():
                shutil.copytree(HERE / name, target / name,
                                ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))
            else:
                shutil.copy2(HERE / name, target / name)


setup(cmdclass=dict(build_py=BuildWithConfigs))
