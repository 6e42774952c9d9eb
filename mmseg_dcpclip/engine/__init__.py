from .cpu import CPUAmpOptimWrapper, end_processes, prepare_cpu, use_amp
from .hooks import CostHook, ParameterReportHook, TagValidationHook, VocabularyHook

__all__ = [
    'CPUAmpOptimWrapper', 'CostHook', 'ParameterReportHook', 'TagValidationHook',
    'VocabularyHook', 'end_processes', 'prepare_cpu', 'use_amp'
]
