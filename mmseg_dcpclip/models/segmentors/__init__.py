from .dcpclip import DCPCLIP
from .pamr import PAMR
from .tta import OVSegTTAModel

__all__ = ['DCPCLIP', 'PAMR', 'OVSegTTAModel']
