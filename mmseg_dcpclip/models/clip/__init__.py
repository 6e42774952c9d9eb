from .layers import CLIPAttention
from .loading import CLIPWeights, clip_config, load_clip_weights

__all__ = ['CLIPAttention', 'CLIPWeights', 'clip_config',
           'load_clip_weights']
