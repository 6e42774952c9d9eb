from .hooks import TagValidationHook, VocabularyHook

__all__ = ['TagValidationHook', 'VocabularyHook']
