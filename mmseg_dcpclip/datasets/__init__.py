from .benchmarks import (
    ADE20K150Dataset,
    ADE20K847Dataset,
    COCOStuff171Dataset,
    PascalContext59Dataset,
    PascalContext459Dataset,
    PascalVOC20Dataset,
)
from .concat import OVConcatDataset
from .dataset_vocabulary import dataset_vocabularies, dataset_vocabulary
from .loading import LoadWideAnnotations
from .open_vocab import MissingDataError, OpenVocabMixin
from .own import TextVocabDataset
from .pictures import PictureAsSeen, load_image

__all__ = [
    'ADE20K150Dataset', 'ADE20K847Dataset', 'COCOStuff171Dataset',
    'LoadWideAnnotations', 'MissingDataError', 'OVConcatDataset', 'OpenVocabMixin',
    'PascalContext459Dataset', 'PascalContext59Dataset', 'PascalVOC20Dataset',
    'PictureAsSeen', 'TextVocabDataset', 'dataset_vocabularies', 'dataset_vocabulary',
    'load_image'
]
