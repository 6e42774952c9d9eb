"""How well the dynamic category selection (Eq. 1-5) does by its settings."""

from collections.abc import Sequence

import torch
from torch.utils.data import DataLoader

from ...models import DCPCLIP, DynamicCategorySelection
from ...models.segmentors.samples import categories_in
from .pictures import ignore_index_of, labelled_pictures

FORMS = ('paper', 'union')


@torch.no_grad()
def selection_rows(model: DCPCLIP, loader: DataLoader, thetas: Sequence[float],
                   pictures: int | None = None) -> list[dict]:
    """Mean recall and number of selected categories per theta and form.

    CLIP runs once per picture. The model's own selection is not looked at.

    Args:
        model: With the words of the test set.
        loader: Of the test set.
        thetas: Thresholds of the image score, in [0, 1].
        pictures: No more than these.

    Returns:
        list: Rows with ``theta``, ``form``, ``recall`` (of the categories that are in
        the picture, mean over pictures, in 0..1), ``selected`` (categories per picture)
        and ``pictures``.

    Raises:
        ValueError: A threshold outside [0, 1], or no picture has a label.
    """
    text = model.text_embeddings()
    selections = {(theta, form): DynamicCategorySelection(theta, form)
                  for theta in thetas for form in FORMS}
    sums = {setting: torch.zeros(2) for setting in selections}
    count = 0
    for image, _, label in labelled_pictures(model, loader, pictures):
        count += 1
        present = categories_in(label[None], len(text.mean), ignore_index_of(loader))[0]
        features = model.backbone(image)
        for setting, selection in selections.items():
            selected = model.select(features, text, selection)[0]
            recall = (selected & present).sum() / present.sum()
            sums[setting] += torch.stack([recall, selected.sum().float()]).cpu()
    return [dict(theta=theta, form=form, recall=float(total[0] / count),
                 selected=float(total[1] / count), pictures=count)
            for (theta, form), total in sums.items()]
