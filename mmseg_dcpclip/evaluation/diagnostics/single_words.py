"""Whether a word that is asked for alone finds its pixels, and no others."""

from collections.abc import Sequence

import numpy as np
import torch
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.utils.data import DataLoader

from ...models import DCPCLIP
from ...models.segmentors.samples import categories_in
from ...vocabulary import Vocabulary
from .pictures import bare_predictions, ignore_index_of, labelled_pictures

ABSENT_WORDS = 3  # of each picture


def probability_of(model: DCPCLIP, word: Vocabulary, image: Tensor,
                   sample: SegDataSample) -> Tensor:
    """Where one word alone is.

    Args:
        model: Within ``bare_predictions``, with ``return_probability``.
        word: The word.
        image: The picture, [1, 3, H, W].
        sample: Its data sample, which stays as it is.

    Returns:
        Tensor: [h, w], at ``ori_shape``.
    """
    meta = {key: value for key, value in sample.metainfo.items()
            if key != 'vocabulary_digest'}
    model.set_vocabulary(word)
    found = model.predict(image, [SegDataSample(metainfo=meta)])[0]
    return found.pred_probability.data[0]


@torch.no_grad()
def single_word_rows(model: DCPCLIP, loader: DataLoader, thresholds: Sequence[float],
                     pictures: int | None = None) -> list[dict]:
    """What thresholds of the background do to words that are asked for one by one.

    A picture is asked for each word that it shows and for some that it does not show,
    with no other words beside. The model runs once for each.

    Args:
        model: With the words of the test set.
        loader: Of the test set.
        thresholds: Pixels with a lower probability are background, in [0, 1].
        pictures: No more than these.

    Returns:
        list: Rows with ``threshold``, ``IoU`` (of a word that is there, mean over
        words and pictures, in percent of its labelled pixels), ``covered`` (of a
        picture by a word that is not there, in percent) and ``pictures``.

    Raises:
        ValueError: No picture has a label, or all of them show every word.
    """
    words, ignored = model.vocabulary, ignore_index_of(loader)
    ious: dict[float, list[float]] = {each: [] for each in thresholds}
    covered: dict[float, list[float]] = {each: [] for each in thresholds}
    count = 0
    with bare_predictions(model, return_probability=True, background=None):
        for image, sample, label in labelled_pictures(model, loader, pictures):
            present = categories_in(label[None], len(words), ignored)[0].cpu().numpy()
            absent = np.random.default_rng(count).permutation((~present).nonzero()[0])
            counted = label != ignored
            for category in (*present.nonzero()[0], *absent[:ABSENT_WORDS]):
                probability = probability_of(
                    model, Vocabulary([words.synonyms[category]]), image, sample)
                true = label == category
                for threshold in thresholds:
                    found = (probability >= threshold) & counted
                    if present[category]:
                        ious[threshold].append(
                            float((found & true).sum() / (found | true).sum()))
                    else:
                        covered[threshold].append(float(found.sum() / counted.sum()))
            count += 1
    if not all(covered.values()):
        raise ValueError('every picture shows every word: there is none to be absent')
    return [dict(threshold=each, IoU=100 * float(np.mean(ious[each])),
                 covered=100 * float(np.mean(covered[each])), pictures=count)
            for each in thresholds]
