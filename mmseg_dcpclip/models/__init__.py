"""The parts of DCP-CLIP; importing this registers them in mmseg,
and our way of reading weights in mmengine."""

from .backbones import CLIPConvNeXtBackbone, CLIPVisionBackbone
from .data_preprocessor import OpenVocabDataPreProcessor
from .decode_heads import CosineHead, SpatialEnhancedDecoder
from .losses import SelectedBCELoss, SelectedCrossEntropyLoss
from .necks import CosineNeck, CostAggregation, TextGuidedAlignment
from .protocol import CategoryHead, CategoryNeck, ImageEncoder
from .segmentors import DCPCLIP, PAMR, OVSegTTAModel
from .selection import DynamicCategorySelection, EveryCategory, select_categories
from .structures import AlignedFeatures, CLIPFeatures, Pairs, TextEmbeddings
from .tag_validation import TagValidation, validate_tags
from .text_encoders import CLIPTextEncoder
from .weight_routes import register_routes

__all__ = [
    'AlignedFeatures', 'CLIPConvNeXtBackbone', 'CLIPFeatures', 'CLIPTextEncoder',
    'CLIPVisionBackbone', 'CategoryHead', 'CategoryNeck', 'CosineHead', 'CosineNeck',
    'CostAggregation', 'DCPCLIP', 'DynamicCategorySelection', 'EveryCategory',
    'ImageEncoder', 'OVSegTTAModel', 'OpenVocabDataPreProcessor', 'PAMR', 'Pairs',
    'SelectedBCELoss', 'SelectedCrossEntropyLoss', 'SpatialEnhancedDecoder',
    'TagValidation', 'TextEmbeddings', 'TextGuidedAlignment', 'select_categories',
    'validate_tags'
]

register_routes()
