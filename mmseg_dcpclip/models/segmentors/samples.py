"""What data samples say: their labels and whose words these are."""

from collections.abc import Sequence

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from ...vocabulary import Vocabulary


def check_words(vocabulary: Vocabulary, data_samples: Sequence[SegDataSample]) -> None:
    """Refuse pictures of a dataset with other words than the model's.

    Args:
        vocabulary: The model's.
        data_samples: Those of this package's datasets carry ``vocabulary_digest``.

    Raises:
        ValueError: Names the picture, the model's words and the remedy.
    """
    for sample in data_samples:
        digest = sample.metainfo.get('vocabulary_digest')
        if digest not in (None, vocabulary.digest):
            raise ValueError(
                f'{sample.metainfo.get("img_path", "a picture")} belongs to a dataset '
                f'with other words than the model, which has {vocabulary!r}: keep '
                "default_hooks.vocabulary=dict(type='VocabularyHook') in the config, "
                'or call model.set_vocabulary with the words of the dataset')


def stack_labels(images: Tensor, data_samples: Sequence[SegDataSample]) -> Tensor:
    """Labels of images of one size.

    Args:
        images: [B, 3, H, W].
        data_samples: With ``gt_sem_seg``.

    Returns:
        Tensor: int64 [B, H, W].

    Raises:
        ValueError: A label has another size than its image.
    """
    labels = [sample.gt_sem_seg.data.squeeze(0).long() for sample in data_samples]
    for label, sample in zip(labels, data_samples):
        if label.shape != images.shape[-2:]:
            raise ValueError(
                f'{sample.metainfo.get("img_path", "an image")} is '
                f'{tuple(images.shape[-2:])} and its label {tuple(label.shape)}')
    return torch.stack(labels)


def categories_in(labels: Tensor, num_categories: int, ignore_index: int) -> Tensor:
    """Which categories occur in each label map.

    Args:
        labels: int64 [B, H, W].
        num_categories: C.
        ignore_index: Label that is no category.

    Returns:
        Tensor: bool [B, C].

    Raises:
        ValueError: A label is neither a category nor ``ignore_index``.
    """
    flat = labels.flatten(1)
    ignored = flat == ignore_index
    wrong = ~ignored & ((flat < 0) | (flat >= num_categories))
    if wrong.any():
        raise ValueError(
            f'the label {int(flat[wrong][0])} is neither one of the {num_categories} '
            f'categories nor ignore_index {ignore_index}: check the vocabulary and the '
            "dataset's ignore_index")
    present = flat.new_zeros(len(labels), num_categories + 1, dtype=torch.bool)
    flat = flat.masked_fill(ignored, num_categories)
    return present.scatter_(1, flat, True)[:, :num_categories]
