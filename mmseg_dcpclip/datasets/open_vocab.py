"""What all datasets of this package share: a vocabulary and honest labels."""

import os
import os.path as osp
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.logging import print_log

from ..vocabulary import LABEL_SETS, Vocabulary, Words
from .label_transforms import check_label_transforms
from .labels import WIDE_IGNORE, check_ignore_index

if TYPE_CHECKING:  # what stands beside the mixin in every class that uses it
    from mmseg.datasets import BaseSegDataset as _Dataset
else:
    _Dataset = object


class MissingDataError(FileNotFoundError):
    """A folder or file of a dataset is missing.

    Args:
        path: What is missing.
        advice: What to do about it.

    Attributes:
        path: What is missing.
    """

    def __init__(self, path: str, advice: str) -> None:
        super().__init__(f'not found: {path}; {advice}')
        self.path = path


class OpenVocabMixin(_Dataset):
    """Give a dataset of mmseg a ``Vocabulary``.

    Put it before the mmseg class: ``class Mine(OpenVocabMixin, ADE20KDataset)``.
    Folders, split files and the pairing of images and labels are checked when
    the dataset is built, not when a worker opens the file.

    Args:
        vocabulary: The classes: a label set of the package, a class file (relative
            to ``data_root`` if it is there), or a list of entries. None: the class
            attribute ``LABEL_SET``.
        names: Wording of a label set, see ``Vocabulary.load``.
        ignore_index: Label value of pixels without a class. None: 255 up to 255
            classes, else 65535.
        skip_unlabelled: Leave out images without a label file, and log how many,
            instead of refusing the dataset.
        metainfo: As for the mmseg class, without classes.
        data_prefix: As for the mmseg class. Pictures without labels: no
            ``seg_map_path``, or None.
        **kwargs: As for the mmseg class.

    Attributes:
        vocabulary: The classes.
        skip_unlabelled: As given.

    Raises:
        ValueError: ``ignore_index`` is a class id, classes are given in
            ``metainfo``, or a transform of the pipeline would make wrong labels.
        MissingDataError: A folder, split file, image or label is missing.
    """

    LABEL_SET: str | None = None

    def __init__(self,
                 vocabulary: Words | None = None,
                 names: str = 'default',
                 ignore_index: int | None = None,
                 skip_unlabelled: bool = False,
                 metainfo: dict | None = None,
                 data_prefix: dict | None = None,
                 **kwargs: Any) -> None:
        if metainfo and 'classes' in metainfo:
            raise ValueError('classes are given as `vocabulary=[...]` (or a class '
                             'file), not in `metainfo`')
        if vocabulary is None:
            vocabulary = self.LABEL_SET
        self.vocabulary = self._load_vocabulary(
            vocabulary, names, kwargs.get('data_root'))
        if ignore_index is None:
            ignore_index = 255 if len(self.vocabulary) <= 255 else WIDE_IGNORE
        check_ignore_index(ignore_index, len(self.vocabulary))
        self.skip_unlabelled = skip_unlabelled
        if data_prefix is not None:
            kwargs['data_prefix'] = {
                k: folder for k, folder in data_prefix.items() if folder is not None}
        super().__init__(
            metainfo=(metainfo or {}) | self.vocabulary.metainfo,
            ignore_index=ignore_index,
            **kwargs)
        # Not passed as metainfo: mmengine takes strings there for file names.
        self._metainfo['vocabulary_digest'] = self.vocabulary.digest
        check_label_transforms(self.pipeline.transforms, self.vocabulary, ignore_index)

    @staticmethod
    def _load_vocabulary(source: Words | None, names: str,
                         data_root: str | None) -> Vocabulary:
        if isinstance(source, Vocabulary):
            return source
        if source is None:
            raise ValueError('give the classes: vocabulary=<a class file, a list of '
                             f'names, or one of {", ".join(LABEL_SETS)}>')
        if not isinstance(source, (str, Path)):
            return Vocabulary(source)
        beside_data = osp.join(data_root or '', source)
        return Vocabulary.load(
            beside_data if osp.isfile(beside_data) else source, names=names)

    @classmethod
    def get_label_map(cls, new_classes: Sequence | None = None) -> None:
        """The vocabulary names all classes of the labels: nothing to map."""
        return None

    def prepare_data(self, idx: int) -> Any:
        """What the pipeline makes of a picture; its sample says whose words it has.

        Raises:
            ValueError: A transform fails; the picture is named.
        """
        try:
            data = super().prepare_data(idx)
        except Exception as error:  # of whatever kind transforms and OpenCV raise
            info = self.get_data_info(idx)
            paths = info['img_path'], info.get('seg_map_path', info['img_path'])
            if isinstance(error, (ValueError, OSError)) and any(
                    path in str(error) for path in paths):
                raise
            raise ValueError(_unusable(info['img_path'], error)) from error
        samples = data.get('data_samples', []) if isinstance(data, dict) else []
        # a list of them behind TestTimeAug
        for sample in samples if isinstance(samples, list) else [samples]:
            sample.set_metainfo(dict(vocabulary_digest=self.vocabulary.digest))
        return data

    def load_data_list(self) -> list[dict]:
        """List images and labels and check that every file is there.

        Returns:
            list[dict]: As in mmseg, with ``ignore_index`` and ``num_classes``.

        Raises:
            MissingDataError: A folder, split file, image or label is missing.
        """
        local = self.backend_args is None
        if local:
            self.check_folders()
        data_list = super().load_data_list()
        if not data_list:
            raise MissingDataError(
                osp.join(self.data_prefix['img_path'], f'*{self.img_suffix or ""}'),
                'check the folder and img_suffix')
        if local:
            data_list = self._check_pairs(data_list)
        for info in data_list:
            info.update(
                ignore_index=self.ignore_index, num_classes=len(self.vocabulary))
        return data_list

    def check_folders(self) -> None:
        """Refuse folders and split files that are not there.

        Raises:
            MissingDataError: Names the first.
        """
        advice = ('set data_root, or see `dcpclip data check` for what to run '
                  f'({type(self).__name__})')
        for key in ('img_path', 'seg_map_path'):
            folder = self.data_prefix.get(key)
            if folder and not osp.isdir(folder):
                raise MissingDataError(folder, advice)
        if self.ann_file and not osp.isfile(self.ann_file):
            raise MissingDataError(self.ann_file, advice)

    def _check_pairs(self, data_list: list[dict]) -> list[dict]:
        """Refuse missing images and labels, or leave out what has no label."""
        # One listing per folder is far cheaper than a query per file.
        listings: dict[str, set] = {}

        def exists(path: str) -> bool:
            folder, filename = osp.split(path)
            if folder not in listings:
                listings[folder] = set(
                    os.listdir(folder)) if osp.isdir(folder) else set()
            return filename in listings[folder]

        absent = [i['img_path'] for i in data_list if not exists(i['img_path'])]
        if absent:
            raise MissingDataError(
                absent[0], f'{len(absent)} of {len(data_list)} images are missing: '
                f'complete the download or correct {self.ann_file}')
        labelled = [
            info for info in data_list
            if 'seg_map_path' not in info or exists(info['seg_map_path'])
        ]
        skipped = len(data_list) - len(labelled)
        if skipped and not (self.skip_unlabelled and labelled):
            first = next(info for info in data_list if info not in labelled)
            raise MissingDataError(
                first['seg_map_path'],
                f'{skipped} of {len(data_list)} images have no label: run the '
                'converter, or set skip_unlabelled=True to leave them out, or '
                'seg_map_path=None in data_prefix if there are no labels at all')
        if skipped:
            print_log(f'{type(self).__name__}: {skipped} of {len(data_list)} images '
                      'have no label and are left out', 'current')
        return labelled


def _unusable(path: str, error: Exception) -> str:
    """What to say about a picture on which a pipeline failed."""
    if osp.isfile(path) and not osp.getsize(path):
        return f'the picture {path} is an empty file; copy it again or remove it'
    return (f'the picture {path} cannot be used: {type(error).__name__}: {error}. If '
            'other programs do not open it either, copy it again or remove it')
