"""Dynamic category selection: which words an image needs."""

from .dynamic import FORMS, DynamicCategorySelection
from .every import EveryCategory
from .paper import Selection, check_selection, select_categories
from .pruning import prunable
from .purify import select_pure
from .scores import MAX_SCORES, image_logits
from .votes import select_by_votes

__all__ = [
    'FORMS', 'MAX_SCORES', 'DynamicCategorySelection', 'EveryCategory', 'Selection',
    'check_selection', 'image_logits', 'prunable', 'select_by_votes',
    'select_categories', 'select_pure'
]
