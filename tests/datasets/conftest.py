import pytest
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def mmseg_scope():
    """Resolve transforms in mmseg's registry, as a Runner does."""
    init_default_scope('mmseg')
