"""Make the package, and the helper modules in this folder, importable."""

import importlib.util
import sys
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

TESTS = Path(__file__).resolve().parent
for folder in (TESTS, TESTS.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(scope='session')
def load_tool():
    """Import a script below ``tools/`` by its path."""

    def load(path: str):
        file = TESTS.parent / 'tools' / path
        spec = importlib.util.spec_from_file_location(f'tool_{file.stem}', file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope='session', autouse=True)
def text_cache(tmp_path_factory):
    """Keep text embeddings out of the user's own cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv('MMSEG_DCPCLIP_CACHE', str(tmp_path_factory.mktemp('text_cache')))
    yield
    patch.undo()


@pytest.fixture(scope='session', autouse=True)
def mmseg_scope_of_fixtures():
    """For models that a fixture of a module builds before the first test."""
    init_default_scope('mmseg')


@pytest.fixture(autouse=True)
def mmseg_scope():
    """Build by names as a Runner would."""
    init_default_scope('mmseg')
