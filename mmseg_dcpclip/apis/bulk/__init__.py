"""Any number of pictures from disk to masks on disk."""

from .opening import is_picture, open_source
from .options import BulkOptions
from .processes import Processes
from .run import BulkResult, segment_all

__all__ = ['BulkOptions', 'BulkResult', 'Processes', 'is_picture', 'open_source',
           'segment_all']
