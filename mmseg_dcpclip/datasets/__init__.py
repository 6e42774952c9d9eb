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
from .concat import OVConcatDataset
from .dataset_vocabulary import dataset_vocabularies, dataset_vocabulary
from .limit_size import LimitSize
from .loading import LoadWideAnnotations
from .open_vocab import MissingDataError, OpenVocabMixin
from .own import TextVocabDataset
from .pictures import PictureAsSeen, load_image

__all__ = [
    'ADE20K150Dataset', 'ADE20K847Dataset', 'COCOObject81Dataset',
    'COCOStuff171Dataset', 'Cityscapes19Dataset', 'LimitSize', 'LoadWideAnnotations',
    'MissingDataError', 'OVConcatDataset', 'OpenVocabMixin',
    'PascalContext459Dataset', 'PascalContext59Dataset', 'PascalContext60Dataset',
    'PascalVOC20Dataset', 'PascalVOC21Dataset', 'PictureAsSeen', 'TextVocabDataset',
    'dataset_vocabularies', 'dataset_vocabulary', 'load_image'
]
