from .benchmarks import (
    ADE20K150Dataset,
    ADE20K847Dataset,
    COCOStuff171Dataset,
    PascalContext59Dataset,
    PascalContext459Dataset,
    PascalVOC20Dataset,
)
from .dataset_vocabulary import dataset_vocabulary
from .limit_size import LimitSize
from .loading import LoadWideAnnotations
from .open_vocab import MissingDataError, OpenVocabMixin, TextVocabDataset

__all__ = [
    'ADE20K150Dataset', 'ADE20K847Dataset', 'COCOStuff171Dataset',
    'LimitSize', 'LoadWideAnnotations', 'MissingDataError', 'OpenVocabMixin',
    'PascalContext459Dataset', 'PascalContext59Dataset', 'PascalVOC20Dataset',
    'TextVocabDataset', 'dataset_vocabulary'
]
