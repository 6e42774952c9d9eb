from .cost_hook import CostHook
from .parameter_report_hook import ParameterReportHook
from .tag_validation_hook import TagValidationHook
from .vocabulary_hook import VocabularyHook

__all__ = ['CostHook', 'ParameterReportHook', 'TagValidationHook', 'VocabularyHook']
