from .dcpclip import DCPCLIP
from .tta import OVSegTTAModel

__all__ = ['DCPCLIP', 'OVSegTTAModel']
