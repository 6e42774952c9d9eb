"""DCP-CLIP (arXiv 2603.13951) for MMSegmentation.

Importing the package makes its modules known to mmseg's registries. Neither torch nor
mmseg is imported before something of theirs is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .registration import register
from .version import __version__

if TYPE_CHECKING:
    from . import datasets, engine, evaluation, models
    from .apis import OnnxPredictor, Predictor
    from .vocabulary import Vocabulary

__all__ = [
    'OnnxPredictor', 'Predictor', 'Vocabulary', '__version__', 'datasets', 'engine',
    'evaluation', 'models'
]

register()


def __getattr__(name: str) -> object:
    if name in ('Predictor', 'datasets', 'engine', 'evaluation', 'models'):
        import_module('.quiet', __name__).import_mmseg()
    if name in ('datasets', 'engine', 'evaluation', 'models'):
        return import_module(f'.{name}', __name__)
    if name in ('OnnxPredictor', 'Predictor'):
        return getattr(import_module('.apis', __name__), name)
    if name == 'Vocabulary':
        return import_module('.vocabulary', __name__).Vocabulary
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
