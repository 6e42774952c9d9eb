"""What tag validation (Eq. 17) changes, by its k."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ...models import DCPCLIP
from ...models.segmentors.second_look import region_encoder
from ...models.tag_validation import (
    RegionEncoder,
    TagValidation,
    seen_mask,
    validate_tags,
)
from ..scores import count_pixels, summarize
from .pictures import (
    bare_predictions,
    ignore_index_of,
    labelled_pictures,
    main_value,
)

COUNTS = ('renamed', 'right_before', 'right_after')  # of regions
SCORES = ('mIoU', 'unseen_mIoU')


def region_rights(old: Tensor, new: Tensor, label: Tensor, categories: Sequence[int],
                  ignore_index: int) -> Tensor:
    """Renamed regions of one picture: their number, right before, right after.

    A region is right if most of its labelled pixels are of its category.

    Args:
        old: Map before, int64 [H, W].
        new: Map after, int64 [H, W].
        label: Ground truth, int64 [H, W].
        categories: Those whose regions may be renamed.
        ignore_index: Label that is no category.

    Returns:
        Tensor: int64 [3]; a region without labelled pixels is never right.
    """
    counts = torch.zeros(3, dtype=torch.long)
    for category in categories:
        region = old == category
        name = int(new[region][0])
        if name == category:
            continue
        truth = main_value(label, region & (label != ignore_index))
        counts += torch.tensor([1, truth == category, truth == name])
    return counts


def once(encode: RegionEncoder | None) -> RegionEncoder | None:
    """Let the regions of one map be encoded once, whatever k asks for them."""
    if encode is None:
        return None
    kept: list[Tensor] = []

    def encode_once(seg_map: Tensor, categories: Tensor) -> Tensor:
        if not kept:
            kept.append(encode(seg_map, categories))
        return kept[0]

    return encode_once


@torch.no_grad()
def tag_rows(model: DCPCLIP, loader: DataLoader, top_ks: Sequence[int],
             pictures: int | None = None) -> list[dict]:
    """Regions and scores for each k.

    The model runs once per picture. Which categories were seen, what a region's feature
    is and what it may become, its own tag validation says.

    Args:
        model: With the words of the test set and a tag validation.
        loader: Of the test set.
        top_ks: Values of k, each at least 1.
        pictures: No more than these.

    Returns:
        list: Rows with ``top_k`` (None: without validation, the first row),
        ``pictures``, ``regions`` (of unseen categories), of these ``renamed``,
        ``right_before`` and ``right_after``, and ``mIoU`` and ``unseen_mIoU`` in
        percent by the GT-present rule.

    Raises:
        ValueError: The model has no tag validation, a k below 1, or no picture has a
            label.
    """
    own = model.tag_validation
    if not isinstance(own, TagValidation):
        raise ValueError(
            'the model has no tag validation, so the seen categories are not known: '
            'put model.tag_validation=dict(seen=...) into the config')
    words, ignored = model.vocabulary, ignore_index_of(loader)
    text = model.text_embeddings().mean
    seen = seen_mask(words, own.seen, own.match).to(text.device)
    ks = (None, *top_ks)
    pixels = {k: torch.zeros(3, len(words), dtype=torch.long) for k in ks}
    renamed = {k: torch.zeros(3, dtype=torch.long) for k in ks}
    count = regions = 0
    with bare_predictions(model, return_features=True):
        for image, sample, label in labelled_pictures(model, loader, pictures):
            count += 1
            result = model.predict(image, [sample])[0]
            old, feats = result.pred_sem_seg.data[0], result.patch_features.data
            categories = [c for c in old.unique().tolist() if not seen[c]]
            regions += len(categories)
            encode = once(region_encoder(
                own, model.backbone, result.encoder_input.data))
            for k in ks:
                new = old if k is None else validate_tags(
                    old, feats, text, seen, top_k=k, candidates=own.candidates,
                    encode=encode)
                pixels[k] += count_pixels(new, label, len(words), ignored)
                renamed[k] += region_rights(old, new, label, categories, ignored)
    rows = []
    for k in ks:
        scores = summarize(pixels[k].numpy(), seen.cpu().numpy())
        rows.append(dict(
            top_k=k, pictures=count, regions=regions,
            **dict(zip(COUNTS, renamed[k].tolist())),
            **{name: 100 * scores[name] for name in SCORES}))
    return rows
