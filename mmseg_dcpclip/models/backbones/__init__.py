from .clip_convnext import CLIPConvNeXtBackbone
from .clip_vision import CLIPVisionBackbone

__all__ = ['CLIPConvNeXtBackbone', 'CLIPVisionBackbone']
