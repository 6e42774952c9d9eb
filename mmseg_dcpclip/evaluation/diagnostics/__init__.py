"""Where a model gains and loses: its selection, its second look, its errors."""

from .changes import join_rows, score_row
from .errors import error_rows, rename_regions, repaired, seen_by
from .pictures import labelled_pictures, main_value
from .selections import selection_rows
from .single_words import single_word_rows
from .tags import region_rights, tag_rows

__all__ = [
    'error_rows', 'join_rows', 'labelled_pictures', 'main_value', 'region_rights',
    'rename_regions', 'repaired', 'score_row', 'seen_by', 'selection_rows',
    'single_word_rows', 'tag_rows'
]
