from .cost_volume import AlignedFeatures, cost_volume
from .text_guided_alignment import TextGuidedAlignment

__all__ = ['AlignedFeatures', 'TextGuidedAlignment', 'cost_volume']
