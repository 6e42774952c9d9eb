from .checkpoint_hook import ResumableCheckpointHook
from .cost_hook import CostHook
from .parameter_report_hook import ParameterReportHook
from .tag_validation_hook import TagValidationHook
from .vocabulary_hook import VocabularyHook, bare_model

__all__ = ['CostHook', 'ParameterReportHook', 'ResumableCheckpointHook',
           'TagValidationHook', 'VocabularyHook', 'bare_model']
