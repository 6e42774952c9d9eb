"""A small drawn world with a CLIP of its own, to run everything for real.

Importing this only adds names to the catalogue; its dataset is in ``dataset``.
"""

from pathlib import Path

from .. import catalogue
from .templates import TEMPLATES

MINI_CLIP_CONFIG = Path(__file__).with_name('mini_vit_8.json')
MINI_CLIP_WEIGHTS = Path(__file__).with_name('mini_vit_8.safetensors')
# Trained on captions alone, as CLIP is: its last block says little about patches.
CLS_CLIP_WEIGHTS = Path(__file__).with_name('mini_vit_8_cls.safetensors')
# Neck, head and the trained q and v of configs/dcpclip_mini.py.
TRAINED_WEIGHTS = Path(__file__).with_name('dcpclip_mini.safetensors')
# Sets of categories, see splits.py: its arrays are not needed to know the names.
LABEL_SETS = ('mini-seen', 'mini-all', 'mini-20', 'mini-59', 'mini-150', 'mini-459',
              'mini-847')


def _label_set(name: str) -> catalogue.LabelSet:
    def entries() -> list[str]:
        from .splits import CATEGORIES
        from .surfaces import NAMES
        return [NAMES[i] for i in CATEGORIES[name]]
    return entries


def add_to_catalogue() -> None:
    """Make words, prompts and weights of the small world known by name."""
    for name in LABEL_SETS:
        catalogue.add_label_set(name, _label_set(name))
    catalogue.add_template_set('miniworld', TEMPLATES)
    catalogue.add_clip_model('mini-ViT-8', MINI_CLIP_CONFIG)
    catalogue.add_clip_weights('mini-ViT-8', 'miniworld', MINI_CLIP_WEIGHTS)
    catalogue.add_clip_weights('mini-ViT-8', 'miniworld-cls', CLS_CLIP_WEIGHTS)
    catalogue.add_trained_weights('dcpclip_mini', TRAINED_WEIGHTS)
