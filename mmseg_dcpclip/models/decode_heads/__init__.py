from .cosine_head import CosineHead
from .spatial_enhanced_decoder import SpatialEnhancedDecoder

__all__ = ['CosineHead', 'SpatialEnhancedDecoder']
