from .cpu import CPUAmpOptimWrapper, prepare_cpu, use_amp
from .hooks import CostHook, ParameterReportHook, TagValidationHook, VocabularyHook

__all__ = [
    'CPUAmpOptimWrapper', 'CostHook', 'ParameterReportHook', 'TagValidationHook',
    'VocabularyHook', 'prepare_cpu', 'use_amp'
]
