from .cosine_neck import CosineNeck
from .cost_aggregation import CostAggregation
from .cost_volume import cost_volume
from .text_guided_alignment import TextGuidedAlignment

__all__ = ['CosineNeck', 'CostAggregation', 'TextGuidedAlignment', 'cost_volume']
