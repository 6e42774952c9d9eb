from .cpu import CPUAmpOptimWrapper, end_processes, prepare_cpu, use_amp
from .hooks import (
    CostHook,
    ParameterReportHook,
    ResumableCheckpointHook,
    TagValidationHook,
    VocabularyHook,
    bare_model,
)
from .runner import AnywhereRunner
from .tta import use_tta
from .variables import apply_variables, changed_variables

__all__ = [
    'AnywhereRunner', 'CPUAmpOptimWrapper', 'CostHook', 'ParameterReportHook',
    'ResumableCheckpointHook', 'TagValidationHook', 'VocabularyHook', 'apply_variables',
    'bare_model', 'changed_variables', 'end_processes', 'prepare_cpu', 'use_amp',
    'use_tta',
]
