from .cpu import CPUAmpOptimWrapper, end_processes, prepare_cpu, use_amp
from .hooks import (
    CostHook,
    ParameterReportHook,
    ResumableCheckpointHook,
    TagValidationHook,
    VocabularyHook,
    bare_model,
)
from .layer_decay import LayerDecayConstructor
from .runner import AnywhereRunner, runner_class
from .sharding import AnywhereFlexibleRunner, CLIPFSDPStrategy
from .tta import use_mode, use_tta
from .variables import apply_variables, changed_variables

__all__ = [
    'AnywhereFlexibleRunner', 'AnywhereRunner', 'CLIPFSDPStrategy',
    'CPUAmpOptimWrapper', 'CostHook', 'LayerDecayConstructor', 'ParameterReportHook',
    'ResumableCheckpointHook', 'TagValidationHook', 'VocabularyHook', 'apply_variables',
    'bare_model', 'changed_variables', 'end_processes', 'prepare_cpu', 'runner_class',
    'use_amp', 'use_mode', 'use_tta',
]
