"""What data samples say: their labels, and whose words these are."""

from collections.abc import Sequence

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from ...vocabulary import Vocabulary


def group_by_words(own: Vocabulary, data_samples: Sequence[SegDataSample]
                   ) -> list[tuple[Vocabulary, list[int]]]:
    """Whose words the pictures of a batch have, and which pictures these are.

    Those of this package's datasets carry ``vocabulary_digest``, so that the words
    follow the data; all others have the model's words.

    Args:
        own: The model's words.
        data_samples: Of a batch.

    Returns:
        list: Words with the places of their pictures, in order of the first.

    Raises:
        ValueError: A picture belongs to words that are not in use in this process.
    """
    groups: dict[str, list[int]] = {}
    for i, sample in enumerate(data_samples):
        digest = sample.metainfo.get('vocabulary_digest', own.digest)
        groups.setdefault(digest, []).append(i)
    found = []
    for digest, index in groups.items():
        words = own if digest == own.digest else Vocabulary.alive(digest)
        if words is None:
            raise ValueError(
                f'{data_samples[index[0]].metainfo.get("img_path", "a picture")} '
                'belongs to a dataset with other words than the model, which has '
                f'{own!r}: call model.set_vocabulary with the words of the dataset')
        found.append((words, index))
    return found


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
    return present.scatter_(
        1, flat, torch.ones_like(flat, dtype=torch.bool))[:, :num_categories]
