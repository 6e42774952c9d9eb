from .cosine_neck import CosineNeck
from .cost_volume import cost_volume
from .text_guided_alignment import TextGuidedAlignment

__all__ = ['CosineNeck', 'TextGuidedAlignment', 'cost_volume']
