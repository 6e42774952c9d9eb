"""The parts of DCP-CLIP; importing this registers them in mmseg."""

from .backbones import CLIPVisionBackbone
from .data_preprocessor import OpenVocabDataPreProcessor
from .decode_heads import CosineHead, SpatialEnhancedDecoder
from .losses import SelectedBCELoss
from .necks import TextGuidedAlignment
from .segmentors import DCPCLIP
from .selection import DynamicCategorySelection, select_categories
from .tag_validation import TagValidation, validate_tags
from .text_encoders import CLIPTextEncoder

__all__ = [
    'CLIPTextEncoder', 'CLIPVisionBackbone', 'CosineHead', 'DCPCLIP',
    'DynamicCategorySelection', 'OpenVocabDataPreProcessor', 'SelectedBCELoss',
    'SpatialEnhancedDecoder', 'TagValidation', 'TextGuidedAlignment',
    'select_categories', 'validate_tags'
]
