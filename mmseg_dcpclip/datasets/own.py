"""A dataset of one's own, without writing code."""

import logging
import os.path as osp
from collections import Counter
from typing import Any

import mmengine
import numpy as np
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..vocabulary import Words
from .folders import (
    Pictures,
    count_text,
    find_pictures,
    shared_names,
    without_suffix,
)
from .labels import decode_label
from .open_vocab import OpenVocabMixin

LOOKED_AT = 16  # labels, to see what kind they are


class PictureFolderDataset(BaseSegDataset):
    """``BaseSegDataset`` that finds pictures of any kind and tells what it leaves out.

    Args:
        img_suffix: What names of pictures end with. None: any of
            ``PICTURE_SUFFIXES``, in small or capital letters.
        **kwargs: As in mmseg.
    """

    def __init__(self, img_suffix: str | None = None, **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the pictures of the folder, or those that the split file names.

        Raises:
            ValueError: Two pictures would have the same label.
        """
        folder, labels = self.data_prefix['img_path'], self.data_prefix.get(
            'seg_map_path')
        names, left_out = self.find_pictures()
        if left_out:
            print_log(f'{folder}: {left_out.total()} files are left out '
                      f'({count_text(left_out)}); img_suffix is {self.img_suffix}',
                      'current', logging.WARNING)
        for first, second in shared_names(names, self.img_suffix):
            raise ValueError(
                f'{osp.join(folder, first)} and {second} would have the same label; '
                'rename one, or set img_suffix')
        return [self._info(name, folder, labels) for name in names]

    def find_pictures(self) -> Pictures:
        """The pictures of the folder, or those that the split file names.

        A folder of labels inside of it is passed over. With a split file nothing
        counts as left out.
        """
        folder, labels = self.data_prefix['img_path'], self.data_prefix.get(
            'seg_map_path')
        names, left_out = find_pictures(folder, self.img_suffix, self.backend_args)
        if self.ann_file:
            return Pictures(self._listed(names), Counter())
        inside = '.' if labels is None else osp.relpath(labels, folder)
        if inside != '.' and not inside.startswith('..'):
            names = [name for name in names if not name.startswith(inside + '/')]
        return Pictures(names, left_out)

    def _listed(self, names: list[str]) -> list[str]:
        """Names of the pictures in the split file; those not there as it has them."""
        known = {without_suffix(name, self.img_suffix): name for name in names}
        known.update((name, name) for name in names)
        lines = mmengine.list_from_file(self.ann_file, backend_args=self.backend_args)
        return [known.get(line.strip(), line.strip() + (self.img_suffix or '.jpg'))
                for line in lines if line.strip()]

    def _info(self, name: str, folder: str, labels: str | None) -> dict:
        """What mmseg keeps about a picture."""
        info = dict(img_path=osp.join(folder, name), label_map=self.label_map,
                    reduce_zero_label=self.reduce_zero_label, seg_fields=[])
        if labels is not None:
            info['seg_map_path'] = osp.join(
                labels, without_suffix(name, self.img_suffix) + self.seg_map_suffix)
        return info


@DATASETS.register_module()
class TextVocabDataset(OpenVocabMixin, PictureFolderDataset):
    """A folder of images, a folder of label PNGs and a file of class names.

    The pixel value of a label is the line of its class in the file, counted
    from 0; unlabelled pixels are 255 (65535 in 16-bit PNGs for more than 255
    classes). An image and its label share the name up to the suffix.

    Args:
        vocabulary: The class file, or a list of entries.
        **kwargs: See ``OpenVocabMixin`` and ``PictureFolderDataset``.

    Raises:
        ValueError: Two classes, and all labels hold only 0 and the ignore index, as
            masks of 0 and 255 do: one class would have no pixel.
    """

    def __init__(self, vocabulary: Words, **kwargs: Any) -> None:
        super().__init__(vocabulary=vocabulary, **kwargs)

    def load_data_list(self) -> list[dict]:
        """As of the mixin; labels are looked at where they may be masks of 0 and 255.

        Raises:
            As the class says, and as the mixin does.
        """
        data_list = super().load_data_list()
        if self.backend_args is None and len(self.vocabulary) == 2:
            paths = [i['seg_map_path'] for i in data_list if 'seg_map_path' in i]
            step = max(1, len(paths) // LOOKED_AT)
            masks = {0, self.ignore_index}
            # All of them only where a few are suspicious.
            if all(_values(p, masks) == masks for p in (paths[::step], paths)):
                raise ValueError(
                    f'the labels {osp.dirname(paths[0])} hold only 0 and '
                    f'{self.ignore_index}, the ignore index: class 1, '
                    f"'{self.vocabulary.names[1]}', has no pixel. "
                    'Make ids from masks of two colours with '
                    '`dcpclip data convert color_masks`')
        return data_list


def _values(paths: list[str], expected: set[int]) -> set[int]:
    """Values of labels, until there is one that was not expected."""
    found: set[int] = set()
    for path in paths:
        try:
            with open(path, 'rb') as file:
                found |= set(np.unique(decode_label(file.read(), path)).tolist())
        except ValueError:
            return set()  # told with its name when it is loaded
        if not found <= expected:
            break
    return found
