"""A registry of this package below mmseg's.

mmseg already has a ``CLIPTextEncoder``, SAN's. Ours is registered under the same
name one level below, so that both stay usable: ``DCPCLIP`` looks here first, and
elsewhere ours is ``mmseg_dcpclip.CLIPTextEncoder``. All other modules are registered
in mmseg's own registries.
"""

from mmengine.registry import Registry
from mmseg.registry import MODELS as MMSEG_MODELS

SCOPE = 'mmseg_dcpclip'
MODELS = Registry('model', parent=MMSEG_MODELS, scope=SCOPE)
