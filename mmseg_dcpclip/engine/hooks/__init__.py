from .tag_validation_hook import TagValidationHook
from .vocabulary_hook import VocabularyHook

__all__ = ['TagValidationHook', 'VocabularyHook']
