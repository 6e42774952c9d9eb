"""The DCP-CLIP segmentor: the parts of the paper wired together."""

from collections.abc import Sequence
from functools import partial

import torch
from mmengine.structures import PixelData
from mmseg.models import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor

from ...datasets.labels import check_ignore_index
from ...registry import SCOPE
from ...vocabulary import Vocabulary
from ..clip.features import CLIPFeatures
from ..clip.loading import load_clip_weights
from ..losses import check_finite
from ..necks.cost_volume import AlignedFeatures, cost_volume
from ..selection import DynamicCategorySelection, Pairs, categories_in
from ..tag_validation import TagValidation
from ..text_encoders.text_bank import TextBank, TextEmbeddings
from .parts import decode_compiled, decode_part
from .views import (
    Images,
    Views,
    group_by_size,
    make_views,
    merge_views,
    resize,
    undo_augmentation,
)

CHUNK = 32  # category maps held at full size at once
TOKENS = 8192  # places of category maps decoded at once


@MODELS.register_module()
class DCPCLIP(BaseSegmentor):
    """Open-vocabulary segmentation from coarse to fine (arXiv 2603.13951).

    Image and words are encoded by CLIP, a few categories per image are selected
    (Eq. 1-5), and only these go through neck (Eq. 6-12), decoder (Eq. 13-16), loss
    and arg max. With a :class:`TagValidation` in :attr:`tag_validation` (the
    ``TagValidationHook`` puts one there) predictions are checked once more (Eq. 17).

    Args:
        backbone: A ``CLIPVisionBackbone`` that is not plain.
        text_encoder: A ``CLIPTextEncoder`` of the same CLIP.
        decode_head: ``SpatialEnhancedDecoder``, or ``CosineHead`` for the baseline.
        neck: ``TextGuidedAlignment``, or None for the bare cosine.
        selection: Arguments of :class:`DynamicCategorySelection`.
        auxiliary_head: A stock mmseg head, trained beside on the backbone's shallow
            maps followed by the patch features in the joint space.
        vocabulary: The words: a :class:`Vocabulary`, what
            :meth:`Vocabulary.load` takes, or a list of names.
        ignore_index: Label of pixels that are not trained on.
        join_ground_truth: Whether training adds the image's own categories to the
            selected ones.
        text_bank: Arguments of :class:`TextBank`, which keeps embeddings in memory
            and on disk; ``dict(root=None)``: in memory only.
        compile_head: Arguments of torch.compile for neck and head at test time, and
            ``bucket``: the number of categories is rounded up to a multiple of it (8),
            so that few numbers are compiled. None: not compiled.
        train_cfg: Unused; mmseg's tools pass it.
        test_cfg: ``mode`` and, for ``'slide'``, ``crop_size``, ``stride`` and
            ``global_view`` as in :func:`~.views.make_views`; ``return_logits=True``
            adds the compact ``seg_logits`` to predictions.
        data_preprocessor: ``OpenVocabDataPreProcessor``.
        pretrained: Unused; mmseg's tools pass it.
        init_cfg: As in mmengine.
    """

    def __init__(self,
                 backbone: dict,
                 text_encoder: dict,
                 decode_head: dict,
                 neck: dict | None = None,
                 selection: dict | None = None,
                 auxiliary_head: dict | None = None,
                 vocabulary: Vocabulary | str | Sequence[str] = 'coco_stuff_171',
                 ignore_index: int = 255,
                 join_ground_truth: bool = True,
                 text_bank: dict | None = None,
                 compile_head: dict | None = None,
                 train_cfg: dict | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None,
                 pretrained: str | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        if getattr(self.backbone, 'plain', True):
            raise ValueError('DCPCLIP needs a CLIPVisionBackbone with plain=False, got '
                             f'{backbone}')
        # mmseg has another CLIPTextEncoder, see registry.py
        self.text_encoder = MODELS.build({'_scope_': SCOPE, **text_encoder})
        self.selection = DynamicCategorySelection(**(selection or {}))
        self.neck = None if neck is None else MODELS.build(neck)
        self.decode_head = MODELS.build(decode_head)
        self.auxiliary_head = (None if auxiliary_head is None
                               else MODELS.build(auxiliary_head))
        self.ignore_index = ignore_index
        self.join_ground_truth = join_ground_truth
        self.compile_head = compile_head
        self.train_cfg = train_cfg
        self.test_cfg = dict(test_cfg or dict(mode='whole'))
        self.text_bank = TextBank(**(text_bank or {}))
        self.tag_validation: TagValidation | None = None
        self.set_vocabulary(vocabulary)

    # ------------------------------------------------------------------ words

    def set_vocabulary(self, vocabulary: Vocabulary | str | Sequence[str]) -> None:
        """Change the words; names, palette and ``dataset_meta`` follow.

        Args:
            vocabulary: A :class:`Vocabulary`, a name or path for
                :meth:`Vocabulary.load`, or a list of names.

        Raises:
            ValueError: There are no words, or one is given twice.
        """
        self.vocabulary = Vocabulary.of(vocabulary)

    @property
    def dataset_meta(self) -> dict:
        """dict: ``classes`` and ``palette`` of the current vocabulary."""
        return self.vocabulary.metainfo

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        # mmseg's tools assign the names of the training set, or even Cityscapes';
        # the vocabulary decides, see set_vocabulary.
        pass

    def text_embeddings(self) -> TextEmbeddings:
        """Embeddings of the current vocabulary; computed once while frozen."""
        encoder = self.text_encoder
        if not (self.training and encoder.trainable != 'none'):
            return self.text_bank.get(encoder, self.vocabulary)
        # One template a step keeps the text tower's graph small.
        pick = int(torch.randint(len(encoder.templates), ()))
        text = encoder.encode(self.vocabulary, [encoder.templates[pick]])
        return TextEmbeddings(text.expand(-1, len(encoder.templates), -1), text[:, 0])

    # ---------------------------------------------------------------- weights

    def load_clip(self) -> None:
        """Read CLIP's pretrained weights; one reading serves both towers."""
        towers: dict[tuple, list] = {}
        for tower in (self.backbone, self.text_encoder):
            source = (tower.model_name, tower.pretrained, tower.quick_gelu_option)
            towers.setdefault(source, []).append(tower)
        for source, same in towers.items():
            if source[1] is not None:
                weights = load_clip_weights(*source)
                for tower in same:
                    tower.load_clip(weights)

    def init_weights(self) -> None:
        """Initialise every part and read CLIP's pretrained weights."""
        self.load_clip()
        self.backbone.is_init = self.text_encoder.is_init = True  # not once more
        super().init_weights()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args,
                              **kwargs) -> None:
        own = self.state_dict()
        fit = sum(prefix + k in state_dict and state_dict[prefix + k].shape == v.shape
                  for k, v in own.items())
        if fit < len(own) / 2:
            raise ValueError(
                f'this checkpoint belongs to another model: only {fit} of the '
                f'{len(own)} weights of {type(self).__name__} with '
                f'{self.backbone.model_name} are in it; use the config that it was '
                'trained with')
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    # ---------------------------------------------------------------- network

    def extract_feat(self, inputs: Tensor) -> CLIPFeatures:
        """CLIP's view of images [B, 3, H, W]."""
        return self.backbone(inputs, with_attention=self.decode_head.with_attention)

    def select(self, features: CLIPFeatures, text: TextEmbeddings) -> Tensor:
        """Which categories may be in each image, bool [B, C] (Eq. 1-5)."""
        return self.selection(features.patch, features.cls, text.mean,
                              float(self.text_encoder.logit_scale))

    def decode(self, features: CLIPFeatures, text: TextEmbeddings, pairs: Pairs
               ) -> Tensor:
        """Logits of pairs (Eq. 6-16), without gradients some pairs at a time.

        Args:
            features: CLIP's view of B images.
            text: Embeddings of the vocabulary.
            pairs: All M pairs of these images.

        Returns:
            Tensor: [M, h, w].
        """
        if self.neck is None:
            mean = text.mean[pairs.category].float()[:, None]
            similarity = cost_volume(features, mean, pairs)
            aligned = AlignedFeatures(similarity, similarity, similarity)
            return self.decode_head(features, aligned, pairs)
        tokens = self.neck.image_tokens(features, text.mean[pairs.category].float(),
                                        pairs)
        maps = self.decode_head.image_maps(features)
        most, compiled = len(pairs), False
        if not torch.is_grad_enabled():  # whose graph would keep every part anyway
            most = max(1, TOKENS // features.patch.shape[1])
            compiled = self.compile_head is not None
        decode = (partial(decode_compiled, **self.compile_head) if compiled
                  else decode_part)
        return torch.cat([
            decode(self.neck, self.decode_head, features[images],
                   text.rows(part.category), part,
                   None if tokens is None else tokens[images],
                   [m[images] for m in maps])
            for images, part in pairs.split(most, mixed=not compiled)])

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None
                      ) -> tuple[Tensor, Pairs, CLIPFeatures]:
        """Logits [M, h, w] of the selected pairs of images [B, 3, H, W]."""
        text = self.text_embeddings()
        features = self.extract_feat(inputs)
        pairs = Pairs.from_mask(self.select(features, text))
        return self.decode(features, text, pairs), pairs, features

    def _forward(self, inputs: Images, data_samples: list | None = None
                 ) -> list[Tensor]:
        """Logits [M, h, w] of each group of images of one size."""
        return [self.encode_decode(images)[0] for _, images in group_by_size(inputs)]

    # --------------------------------------------------------------- training

    def loss(self, inputs: Images, data_samples: list[SegDataSample]
             ) -> dict[str, Tensor]:
        """Losses, and how the selection did.

        Args:
            inputs: [B, 3, H, W], or images [3, H, W] of mixed sizes.
            data_samples: With ``gt_sem_seg``.

        Returns:
            dict: ``decode.loss_*``, ``aux.loss_*`` of an auxiliary head, and for the
            log ``selection.recall`` (share of the images' categories that were
            selected) and ``selection.count`` (selected per image).

        Raises:
            ValueError: A label outside the vocabulary or of another size than its
                image, or an ignore_index that is a category.
            FloatingPointError: A loss is NaN or infinite.
        """
        check_ignore_index(self.ignore_index, len(self.vocabulary))
        text = self.text_embeddings()
        total: dict[str, Tensor] = {}
        for index, images in group_by_size(inputs):
            share = len(index) / len(inputs)
            losses = self._group_loss(images, [data_samples[i] for i in index], text)
            for name, value in losses.items():
                total[name] = total.get(name, 0) + share * value
        check_finite(total, data_samples)
        return total

    def _group_loss(self, images: Tensor, data_samples: list[SegDataSample],
                    text: TextEmbeddings) -> dict[str, Tensor]:
        """Losses of images of one size."""
        labels = self._labels(images, data_samples)
        present = categories_in(labels, len(self.vocabulary), self.ignore_index)
        features = self.extract_feat(images)
        selected = self.select(features, text)
        joined = selected | present if self.join_ground_truth else selected
        pairs = Pairs.from_mask(joined)
        logits = resize(self.decode(features, text, pairs), images.shape[-2:])
        head_loss = self.decode_head.loss_decode
        losses = {f'decode.{head_loss.loss_name}': head_loss(
            logits, labels, pairs, self.ignore_index)}
        if self.auxiliary_head is not None:
            maps = (*features.shallow, features.patch_map)
            losses.update(add_prefix(
                self.auxiliary_head.loss(maps, data_samples, self.train_cfg), 'aux'))
        found = (selected & present).sum() / present.sum().clamp(min=1)
        losses['selection.recall'] = found.float()
        losses['selection.count'] = selected.sum(1).float().mean()
        return losses

    def _labels(self, images: Tensor, data_samples: list[SegDataSample]) -> Tensor:
        """Labels of images of one size, int64 [B, H, W]."""
        labels = [sample.gt_sem_seg.data.squeeze(0).long() for sample in data_samples]
        for label, sample in zip(labels, data_samples):
            if label.shape != images.shape[-2:]:
                raise ValueError(
                    f'{sample.metainfo.get("img_path", "an image")} is '
                    f'{tuple(images.shape[-2:])} and its label {tuple(label.shape)}')
        return torch.stack(labels)

    # ---------------------------------------------------------------- testing

    def predict(self, inputs: Images,
                data_samples: list[SegDataSample] | None = None
                ) -> list[SegDataSample]:
        """Segment.

        Args:
            inputs: [B, 3, H, W], or images [3, H, W] of mixed sizes.
            data_samples: With the metainfo of mmseg's test pipelines; None: maps
                have the size of the inputs.

        Returns:
            list[SegDataSample]: With ``pred_sem_seg`` (category ids, int64 [1, h, w]
            at ``ori_shape``), the metainfo ``selected_categories`` (ids), and, with
            ``test_cfg.return_logits``, ``seg_logits``: one map per selected category
            in their order.
        """
        if data_samples is None:
            data_samples = [SegDataSample() for _ in range(len(inputs))]
        options = dict(self.test_cfg)
        return_logits = options.pop('return_logits', False)
        for index, images in group_by_size(inputs):
            views = make_views(images, **options)
            logits, pairs, features = self.encode_decode(views.images)
            for i, sample_index in enumerate(index):
                sample = data_samples[sample_index]
                self._write_prediction(sample, logits, pairs, views, i, return_logits)
                if self.tag_validation is not None:
                    feats = self._validation_features(images, features, views, i)
                    feats = undo_augmentation(feats, sample.metainfo, views.size)
                    seg_map = self.tag_validation(
                        sample.pred_sem_seg.data[0], feats, self.text_embeddings().mean,
                        self.vocabulary)
                    sample.pred_sem_seg = PixelData(data=seg_map[None])
        return data_samples

    def _write_prediction(self, sample: SegDataSample, logits: Tensor, pairs: Pairs,
                          views: Views, image: int, return_logits: bool) -> None:
        """Arg max over the selected categories of one image, some at a time."""
        view = torch.div(pairs.image, views.per_image, rounding_mode='floor')
        categories = pairs.category[view == image].unique()
        size = tuple(sample.metainfo.get('ori_shape', views.size))[:2]
        best = best_id = None
        kept = []
        for chunk in categories.split(CHUNK):
            maps = merge_views(logits, pairs, views, image, chunk)
            maps = resize(undo_augmentation(maps, sample.metainfo, views.size), size)
            score, place = maps.max(0)
            if best is None:
                best, best_id = score, chunk[place]
            else:
                better = score > best
                best = torch.where(better, score, best)
                best_id = torch.where(better, chunk[place], best_id)
            if return_logits:
                kept.append(maps)
        sample.pred_sem_seg = PixelData(data=best_id[None])
        sample.set_metainfo(dict(selected_categories=categories.tolist()))
        if return_logits:
            sample.seg_logits = PixelData(data=torch.cat(kept))

    def _validation_features(self, images: Tensor, features: CLIPFeatures, views: Views,
                             image: int) -> Tensor:
        """Patch features of the whole image, [D, h, w]."""
        if views.slide and not views.with_whole:
            whole = resize(images[image:image + 1], views.images.shape[-2:])
            return self.backbone(whole).patch_map[0]
        return features.patch_map[(image + 1) * views.per_image - 1]
