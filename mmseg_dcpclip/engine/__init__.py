from .cpu import CPUAmpOptimWrapper, prepare_cpu
from .hooks import TagValidationHook, VocabularyHook

__all__ = [
    'CPUAmpOptimWrapper', 'TagValidationHook', 'VocabularyHook', 'prepare_cpu'
]
