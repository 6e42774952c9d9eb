"""How well the selections do: the paper's (Eq. 1-5) by theta, and those beside it."""

from collections.abc import Sequence

import torch
from torch.utils.data import DataLoader

from ...models import DCPCLIP, DynamicCategorySelection
from ...models.segmentors.samples import categories_in
from .pictures import ignore_index_of, labelled_pictures


def compared_selections(thetas: Sequence[float], with_attention: bool = True
                        ) -> dict[tuple[str, float | None], DynamicCategorySelection]:
    """The selections that are compared, by form and theta.

    Args:
        thetas: Thresholds of the image score, in [0, 1]; 0 selects all words.
        with_attention: Whether those that need the encoder's attention are among them.

    Raises:
        ValueError: A threshold outside [0, 1].
    """
    selections: dict[tuple[str, float | None], DynamicCategorySelection] = {
        (form, theta): DynamicCategorySelection(theta, form)
        for theta in thetas for form in ('paper', 'union')}
    selections['votes', None] = DynamicCategorySelection(form='votes')
    if with_attention:
        selections['purify, its candidates', None] = DynamicCategorySelection(
            form='purify', purity=0, overlap=1)
        selections['purify', None] = DynamicCategorySelection(form='purify')
    return selections


@torch.no_grad()
def selection_rows(model: DCPCLIP, loader: DataLoader, thetas: Sequence[float],
                   pictures: int | None = None) -> list[dict]:
    """Mean recall and number of selected categories per form and theta.

    CLIP runs once per picture, on the picture as a whole. The model's own selection is
    not looked at.

    Args:
        model: With the words of the test set.
        loader: Of the test set.
        thetas: Thresholds of the image score, in [0, 1].
        pictures: No more than these.

    Returns:
        list: Rows with ``form``, ``theta`` (None where the form has none), ``recall``
        (of the categories that are in the picture, mean over pictures, in 0..1),
        ``selected`` (categories per picture) and ``pictures``. Purify's candidates are
        the words that win a patch. An encoder without attention has no purify.

    Raises:
        ValueError: A threshold outside [0, 1], or no picture has a label.
    """
    text = model.text_embeddings()
    attention = model.backbone.gives_attention
    selections = compared_selections(thetas, attention)
    asked = dict(with_mean_attention=True) if attention else {}
    sums = {setting: torch.zeros(2) for setting in selections}
    count = 0
    for image, _, label in labelled_pictures(model, loader, pictures):
        count += 1
        present = categories_in(label[None], len(text.mean), ignore_index_of(loader))[0]
        features = model.backbone(image, **asked)
        for setting, selection in selections.items():
            selected = model.select(features, text, selection)[0]
            recall = (selected & present).sum() / present.sum()
            sums[setting] += torch.stack([recall, selected.sum().float()]).cpu()
    return [dict(theta=theta, form=form, recall=float(total[0] / count),
                 selected=float(total[1] / count), pictures=count)
            for (form, theta), total in sums.items()]
