"""COCO-Stuff for training and the benchmarks."""

from typing import Any

from mmseg.datasets import (
    ADE20KDataset,
    BaseSegDataset,
    CityscapesDataset,
    COCOStuffDataset,
    PascalContextDataset59,
)
from mmseg.registry import DATASETS

from ..vocabulary import Vocabulary
from .open_vocab import OpenVocabMixin


@DATASETS.register_module()
class COCOStuff171Dataset(OpenVocabMixin, COCOStuffDataset):
    """COCO-Stuff 164k: labels ``*_labelTrainIds.png``, 0..170 and 255."""

    LABEL_SET = 'coco_stuff_171'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo


@DATASETS.register_module()
class ADE20K150Dataset(OpenVocabMixin, ADE20KDataset):
    """ADE20K with 150 classes: labels as downloaded, 1..150 and 0 for ignore."""

    LABEL_SET = 'ade20k_150'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo


@DATASETS.register_module()
class ADE20K847Dataset(OpenVocabMixin, BaseSegDataset):
    """ADE20K full with 847 classes: 16-bit labels, 0..846 and 65535."""

    LABEL_SET = 'ade20k_847'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo


@DATASETS.register_module()
class PascalContext59Dataset(OpenVocabMixin, PascalContextDataset59):
    """Pascal Context with 59 classes: labels 0..58 and 255.

    Labels in mmseg's own preparation (1..59 and 0) need
    ``reduce_zero_label=True``.

    Args:
        reduce_zero_label: Whether 0 stands for ignore and the classes follow.
        **kwargs: See ``OpenVocabMixin``.
    """

    LABEL_SET = 'pascal_context_59'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo

    def __init__(self, reduce_zero_label: bool = False, **kwargs: Any) -> None:
        super().__init__(reduce_zero_label=reduce_zero_label, **kwargs)


@DATASETS.register_module()
class PascalContext459Dataset(OpenVocabMixin, BaseSegDataset):
    """Pascal Context with 459 classes: 16-bit labels, 0..458 and 65535."""

    LABEL_SET = 'pascal_context_459'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo


@DATASETS.register_module()
class PascalVOC20Dataset(OpenVocabMixin, BaseSegDataset):
    """Pascal VOC 2012 without background.

    Labels as downloaded: 1..20, and 0 (background) and 255 (borders), which are
    both ignored.

    Args:
        reduce_zero_label: Whether 0 stands for ignore and the classes follow.
        **kwargs: See ``OpenVocabMixin``.
    """

    LABEL_SET = 'pascal_voc_20'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo

    def __init__(self, reduce_zero_label: bool = True, **kwargs: Any) -> None:
        super().__init__(reduce_zero_label=reduce_zero_label, **kwargs)


@DATASETS.register_module()
class PascalVOC21Dataset(OpenVocabMixin, BaseSegDataset):
    """Pascal VOC 2012 with background.

    Labels as downloaded: 0 (background), 1..20, and 255 (borders) for ignore.
    """

    LABEL_SET = 'pascal_voc_21'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo


@DATASETS.register_module()
class PascalContext60Dataset(OpenVocabMixin, BaseSegDataset):
    """Pascal Context with 59 classes and background: labels 0 (background) and 1..59.

    Nothing is ignored: background is whatever is none of the 59, unlabelled pixels
    too. mmseg's own preparation writes the same labels.
    """

    LABEL_SET = 'pascal_context_60'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo


@DATASETS.register_module()
class COCOObject81Dataset(OpenVocabMixin, BaseSegDataset):
    """COCO-Object: labels ``*_instanceTrainIds.png``, 0 (background) and 1..80.

    Nothing is ignored: background is whatever is none of the 80 things, unlabelled
    pixels too.

    Args:
        seg_map_suffix: Ending of the labels.
        **kwargs: See ``OpenVocabMixin``.
    """

    LABEL_SET = 'coco_object_81'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo

    def __init__(self, seg_map_suffix: str = '_instanceTrainIds.png', **kwargs: Any
                 ) -> None:
        super().__init__(seg_map_suffix=seg_map_suffix, **kwargs)


@DATASETS.register_module()
class Cityscapes19Dataset(OpenVocabMixin, CityscapesDataset):
    """Cityscapes: labels ``*_gtFine_labelTrainIds.png``, 0..18 and 255."""

    LABEL_SET = 'cityscapes_19'
    METAINFO = Vocabulary.load(LABEL_SET).metainfo
