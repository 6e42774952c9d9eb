"""The second look at a prediction (Eq. 17): what it gets to see."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from ..resizing import resize
from ..structures import CLIPFeatures, TextEmbeddings
from ..tag_validation import RegionEncoder, TagValidation
from .asked import AskedMixin
from .views import Views, undo_augmentation


def check_second_look(validation: Any, backbone: Any) -> None:
    """Refuse a second look that the image encoder cannot serve.

    Raises:
        ValueError: Names the encoder and the remedy.
    """
    if wants_region_cls(validation) and not hasattr(backbone, 'region_cls'):
        raise ValueError(
            f'tag_validation: {type(backbone).__name__} has no [CLS] that could attend '
            "to a region's patches only: use region='mean'")


def wants_region_cls(validation: Any) -> bool:
    """Whether a second look asks for CLIP's [CLS] of regions."""
    return getattr(validation, 'region', None) == 'cls'


def region_encoder(validation: Any, backbone: Any, picture: Tensor
                   ) -> RegionEncoder | None:
    """What makes features of a picture's regions, where patch features do not serve.

    Args:
        validation: The second look.
        backbone: The image encoder.
        picture: As the encoder sees it as a whole, [3, h, w].
    """
    if not wants_region_cls(validation):
        return None
    return partial(backbone.region_cls, picture[None])


class SecondLookMixin(AskedMixin):
    """A segmentor's second look at its predictions."""
    backbone: Any
    text_embeddings: Callable[[], TextEmbeddings]

    @property
    def tag_validation(self) -> TagValidation | None:
        """The second look; set, it is checked as by the constructor."""
        return self._tag_validation

    @tag_validation.setter
    def tag_validation(self, validation: TagValidation | None) -> None:
        check_second_look(validation, self.backbone)
        self._tag_validation = validation

    def look_again(self, sample: SegDataSample, features: CLIPFeatures, views: Views,
                   image: int) -> None:
        """Validate a prediction, and keep what ``test_cfg`` asks for.

        Args:
            sample: Has ``pred_sem_seg``.
            features: The encoder's view of all views.
            views: The views.
            image: Which image.
        """
        if self.tag_validation is None and not self.settings.return_features:
            return
        feats = self._whole_features(features, views, image)
        feats = undo_augmentation(feats, sample.metainfo, views.input_size)
        picture = undo_augmentation(views.whole[image], sample.metainfo,
                                    views.input_size)
        if views.slide:
            picture = resize(picture[None], views.images.shape[-2:])[0]
        if self.settings.return_features:
            sample.patch_features = PixelData(data=feats)
            sample.encoder_input = PixelData(data=picture)
        seg_map = self.validate(sample.pred_sem_seg.data[0], feats, picture)
        sample.pred_sem_seg = PixelData(data=seg_map[None])

    def validate(self, seg_map: Tensor, feats: Tensor, picture: Tensor) -> Tensor:
        """Tag validation (Eq. 17) of a map; without one the map as it is.

        Args:
            seg_map: Predicted category ids, int64 [H, W].
            feats: Patch features of the picture, [D, h, w].
            picture: The picture as the encoder sees it as a whole, without padding and
                flips, [3, h', w'].

        Returns:
            Tensor: int64 [H, W].
        """
        validation: Any = self.tag_validation  # perhaps somebody else's
        if validation is None:
            return seg_map
        encode = region_encoder(validation, self.backbone, picture)
        wanted: dict[str, Any] = {} if encode is None else dict(encode=encode)
        if self.none_id is not None:
            wanted['ignore_index'] = self.none_id
        return validation(seg_map, feats, self.text_embeddings().mean, self.vocabulary,
                          **wanted)

    def _whole_features(self, features: CLIPFeatures, views: Views, image: int
                        ) -> Tensor:
        """Patch features of the whole image as it is, [D, h, w]."""
        if views.slide and not views.with_whole:
            whole = resize(views.whole[image:image + 1], views.images.shape[-2:])
            return self.backbone(whole).patch_map[0]
        return features.patch_map[views.whole_view(image)]
