"""Test-time augmentation: predictions of several forms of a picture, merged."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..protocol import class_of
from .dcpclip import DCPCLIP
from .label_map import Ids, LabelMap, word_scores
from .samples import group_by_words


def merge_selected(maps: Sequence[Tensor], categories: Sequence[Sequence[int]]
                   ) -> tuple[Tensor, Tensor]:
    """Average maps of several predictions, each of categories of its own.

    A category that a prediction did not select has probability 0 there.

    Args:
        maps: Probabilities of each prediction's categories, each [K_i, H, W].
        categories: Their ids, ascending.

    Returns:
        tuple: Mean probabilities [K, H, W] of all K categories, and their ids [K].
    """
    ids = torch.tensor(sorted({i for own in categories for i in own}))
    merged = maps[0].new_zeros(len(ids), *maps[0].shape[1:])
    for probabilities, own in zip(maps, categories, strict=True):
        place = torch.searchsorted(ids, torch.tensor(list(own)))
        merged.index_add_(0, place.to(merged.device), probabilities)
    return merged / len(maps), ids.to(merged.device)


@MODELS.register_module()
class OVSegTTAModel(BaseTTAModel):
    """Merges what a ``DCPCLIP`` says of flipped and resized forms of a picture.

    mmseg's ``SegTTAModel`` adds maps of all categories; here each form has selected
    categories of its own. Probabilities are averaged, and tags are validated once, on
    the merged map with the features of the first form.

    Args:
        module: Config of the ``DCPCLIP``, or the model.
        data_preprocessor: As in mmengine.

    Raises:
        ValueError: The model is none of these.
    """

    def __init__(self, module: Any, data_preprocessor: dict | None = None) -> None:
        kind = class_of(module) if isinstance(module, dict) else type(module)
        if not issubclass(kind, DCPCLIP):
            raise ValueError(f'OVSegTTAModel merges predictions of a DCPCLIP, not of '
                             f'{kind.__name__}; use SegTTAModel for that')
        super().__init__(module, data_preprocessor)
        self.module.test_cfg = dict(self.module.test_cfg, return_logits=True,
                                    return_features=True, maps_side=None)

    def merge_preds(self, data_samples_list: Sequence[Sequence[SegDataSample]]
                    ) -> list[SegDataSample]:
        """Merge the predictions of each picture.

        Args:
            data_samples_list: For each picture the predictions of its forms.

        Returns:
            list: The first prediction of each picture with the merged map.
        """
        return [self._merge(samples) for samples in data_samples_list]

    def _merge(self, samples: Sequence[SegDataSample]) -> SegDataSample:
        model: DCPCLIP = self.module
        (words, _), = group_by_words(model.vocabulary, samples[:1])
        model.set_vocabulary(words)  # a batch may hold pictures of several
        maps = [sample.seg_logits.data for sample in samples]
        merged, ids = merge_selected(maps, [s.selected_categories for s in samples])
        first = samples[0]
        score, place = merged.max(0)
        threshold = None if model.background is None else model.background.threshold
        seg_map = Ids(None, threshold, first.none_id).decide(ids[place], score)
        if model.tag_validation is not None:
            seg_map = model.validate(seg_map, first.patch_features.data,
                                     first.encoder_input.data)
        first.pred_sem_seg = PixelData(data=seg_map[None])
        first.set_metainfo(dict(selected_categories=ids.tolist()))
        if model.settings.return_scores:
            first.word_scores = word_scores(LabelMap(seg_map, ids, merged),
                                            model.vocabulary.names)
        for name in ('seg_logits', 'patch_features', 'encoder_input'):  # of one form
            delattr(first, name)
        return first
