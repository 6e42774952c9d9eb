from .benchmarks import (
    ADE20K150Dataset,
    ADE20K847Dataset,
    Cityscapes19Dataset,
    COCOObject81Dataset,
    COCOStuff171Dataset,
    PascalContext59Dataset,
    PascalContext60Dataset,
    PascalContext459Dataset,
    PascalVOC20Dataset,
    PascalVOC21Dataset,
)
from .dataset_vocabulary import dataset_vocabulary
from .loading import LoadWideAnnotations
from .open_vocab import MissingDataError, OpenVocabMixin, TextVocabDataset

__all__ = [
    'ADE20K150Dataset', 'ADE20K847Dataset', 'COCOObject81Dataset',
    'COCOStuff171Dataset', 'Cityscapes19Dataset', 'LoadWideAnnotations',
    'MissingDataError', 'OpenVocabMixin', 'PascalContext459Dataset',
    'PascalContext59Dataset', 'PascalContext60Dataset', 'PascalVOC20Dataset',
    'PascalVOC21Dataset', 'TextVocabDataset', 'dataset_vocabulary'
]
