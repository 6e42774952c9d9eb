"""Words: vocabularies, label sets, class files.

Only the standard library and numpy are used, so that words can be read, compared and
stored without importing torch or mmseg.
"""

from .background import Background
from .entries import digest_of
from .label_sets import LABEL_SETS, pascal_context_val_ids, read_label_set
from .palette import make_palette
from .queries import Queries, make_queries
from .vocabulary import Vocabulary, Words, match_names

__all__ = [
    'LABEL_SETS', 'Background', 'Queries', 'Vocabulary', 'Words', 'digest_of',
    'make_palette', 'make_queries', 'match_names', 'pascal_context_val_ids',
    'read_label_set'
]
