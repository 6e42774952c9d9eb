"""DCP-CLIP (arXiv 2603.13951) for MMSegmentation.

Importing the package registers its modules in mmseg's registries.
"""

from . import datasets, engine, evaluation, models
from .apis import Predictor
from .miniworld import dataset as _miniworld_dataset  # noqa: F401  registers
from .version import __version__
from .vocabulary import Vocabulary

__all__ = [
    'Predictor', 'Vocabulary', '__version__', 'datasets', 'engine', 'evaluation',
    'models'
]
