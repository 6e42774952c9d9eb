"""What all measurements share: labelled pictures and the regions in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from mmseg.structures import SegDataSample
from torch import Tensor
from torch.utils.data import DataLoader

from ...models import DCPCLIP

SCORES = ('mIoU', 'seen_mIoU', 'unseen_mIoU')


@contextmanager
def bare_predictions(model: DCPCLIP, **test_cfg: Any) -> Iterator[None]:
    """Predictions without a second look; afterwards the model is as it was.

    Args:
        model: Its words may change meanwhile.
        **test_cfg: Keys of its ``test_cfg`` that change.
    """
    own = model.vocabulary, model.test_cfg, model.tag_validation
    try:
        model.test_cfg = dict(model.test_cfg, **test_cfg)
        model.tag_validation = None
        yield
    finally:
        model.set_vocabulary(own[0])
        model.test_cfg, model.tag_validation = own[1:]


def labelled_pictures(model: DCPCLIP, loader: DataLoader, limit: int | None = None
                      ) -> Iterator[tuple[Tensor, SegDataSample, Tensor]]:
    """Go through a test set one picture at a time, ready for the model.

    Args:
        model: With the words of the test set.
        loader: Of the test set.
        limit: No more pictures than these.

    Yields:
        tuple: The picture, [1, 3, H, W]; its data sample; its label, int64 [H, W].
        Pictures without a labelled pixel are left out.

    Raises:
        ValueError: No picture has a labelled pixel.
    """
    found = False
    for picture in islice(_labelled(model, loader), limit):
        found = True
        yield picture
    if not found:
        raise ValueError('no picture of the test set has a labelled pixel')


def _labelled(model: DCPCLIP, loader: DataLoader
              ) -> Iterator[tuple[Tensor, SegDataSample, Tensor]]:
    ignored = ignore_index_of(loader)
    preprocess: Any = model.data_preprocessor  # mmengine has no types
    for batch in loader:
        data = preprocess(batch)
        for image, sample in zip(data['inputs'], data['data_samples']):
            label = sample.gt_sem_seg.data[0].long()
            if (label != ignored).any():
                yield image[None], sample, label


def ignore_index_of(loader: DataLoader) -> int:
    """The label of a test set that is no category."""
    dataset: Any = loader.dataset  # torch's type knows nothing of labels
    return dataset.ignore_index


def main_value(values: Tensor, inside: Tensor) -> int | None:
    """The most frequent value of some pixels.

    Args:
        values: int64 [H, W].
        inside: The pixels, bool [H, W].

    Returns:
        int: The value; None without pixels.
    """
    chosen = values[inside]
    return int(chosen.mode().values) if len(chosen) else None
