"""The DCP-CLIP segmentor: the parts of the paper wired together."""

from functools import partial

from mmengine.structures import PixelData
from mmseg.models import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn

from ...datasets.labels import check_ignore_index
from ...registry import SCOPE
from ...vocabulary import Queries, Vocabulary, Words
from ..clip.tower import load_towers
from ..losses import check_finite, pair_losses
from ..protocol import (
    CategoryHead,
    CategoryNeck,
    build_part,
    check_attention,
    check_encoder,
    check_kind,
    wanted_attention,
)
from ..structures import CLIPFeatures, Pairs, TextEmbeddings
from ..text_encoders.text_bank import TextBank
from ..weights import AllWeightsMixin
from .decoding import decode_pairs
from .encoding import encode_in_parts
from .label_map import Ids, make_label_map, word_scores
from .samples import categories_in, group_by_words, stack_labels
from .second_look import SecondLookMixin
from .settings import TrainSettings
from .static import StaticSettings, encode_decode_static
from .training import TrainingMixin
from .views import (
    Images,
    Views,
    absent_elsewhere,
    group_by_size,
    make_views,
    shared_pairs,
    take,
)


@MODELS.register_module()
class DCPCLIP(SecondLookMixin, TrainingMixin, AllWeightsMixin, BaseSegmentor):
    """Open-vocabulary segmentation from coarse to fine (arXiv 2603.13951).

    Image and words are encoded by CLIP, a few categories per image are selected
    (Eq. 1-5), and only these go through neck (Eq. 6-12), decoder (Eq. 13-16), loss
    and arg max; at last regions of unseen categories are checked once more (Eq. 17).
    Parts keep to ``protocol``; sizes that one part decides for
    another need not be in the config.

    Pictures of this package's datasets say whose words they have, and the model's
    vocabulary follows them, with what is of no category there.

    Args:
        backbone: A ``CLIPVisionBackbone`` that is not plain, or another
            ``ImageEncoder``.
        text_encoder: A ``CLIPTextEncoder`` of the same CLIP.
        decode_head: A ``CategoryHead``: ``SpatialEnhancedDecoder``, or
            ``CosineHead`` for the baseline.
        neck: A ``CategoryNeck``: ``TextGuidedAlignment``; None means
            ``CosineNeck``, the bare cosine.
        selection: The selection and its arguments; ``type`` is
            ``DynamicCategorySelection`` by default.
        auxiliary_head: A stock mmseg head, trained beside on the backbone's shallow
            maps followed by the patch features in the joint space.
        vocabulary: The words: a ``Vocabulary``, what
            ``Vocabulary.load`` takes, or a list of names.
        ignore_index: Label of pixels that are not trained on.
        join_ground_truth: Whether training adds the image's own categories to the
            selected ones.
        tag_validation: Arguments of the second look at predictions (Eq. 17); ``type``
            is ``TagValidation`` by default and ``seen`` this vocabulary. None: no
            second look.
        text_bank: Arguments of ``TextBank``, which keeps embeddings in memory
            and on disk; ``dict(root=None)``: in memory only.
        refinement: Arguments of what makes the selected maps follow the picture at test
            time; ``type`` is ``PAMR`` by default. None: nothing does.
        compile_head: Arguments of torch.compile for neck and head at test time, and
            ``bucket``: the number of categories is rounded up to a multiple of it (8),
            so that few numbers are compiled. None: not compiled.
        static: The keys of ``StaticSettings``: predictions take a fixed number of
            categories of each view, so that the whole network can be compiled, as
            CUDA graphs as well. None: as many as are selected.
        train_cfg: The keys of ``TrainSettings``.
        test_cfg: The keys of ``PredictSettings``.
        data_preprocessor: ``OpenVocabDataPreProcessor``.
        pretrained: Unused; mmseg's tools pass it.
        init_cfg: As in mmengine.

    Raises:
        ValueError: A part that does not keep to the protocol, sizes that contradict
            each other, or a ``train_cfg`` or ``test_cfg`` that cannot be used.
    """

    def __init__(self,
                 backbone: dict,
                 text_encoder: dict,
                 decode_head: dict,
                 neck: dict | None = None,
                 selection: dict | None = None,
                 auxiliary_head: dict | None = None,
                 vocabulary: Words = 'coco_stuff_171',
                 ignore_index: int = 255,
                 join_ground_truth: bool = True,
                 tag_validation: dict | None = None,
                 text_bank: dict | None = None,
                 refinement: dict | None = None,
                 compile_head: dict | None = None,
                 static: dict | None = None,
                 train_cfg: dict | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None,
                 pretrained: str | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.test_cfg = test_cfg
        neck = dict(type='CosineNeck') if neck is None else neck
        neck_kind = check_kind(neck, CategoryNeck, 'neck')
        head_kind = check_kind(decode_head, CategoryHead, 'decode_head')
        self.backbone = MODELS.build(backbone)
        check_encoder(self.backbone)
        # mmseg has another CLIPTextEncoder, see registry.py
        self.text_encoder = MODELS.build({'_scope_': SCOPE, **text_encoder})
        self.selection = MODELS.build(
            {'type': 'DynamicCategorySelection', **(selection or {})})
        self.neck = build_part(neck, neck_kind, neck_kind.sizes(
            self.backbone, len(self.text_encoder.templates)), 'neck')
        self.decode_head = build_part(decode_head, head_kind, head_kind.sizes(
            self.backbone, self.neck), 'decode_head')
        check_attention(self.backbone, self.decode_head, self.selection)
        self.auxiliary_head = (None if auxiliary_head is None
                               else MODELS.build(auxiliary_head))
        self.ignore_index = ignore_index
        self.join_ground_truth = join_ground_truth
        self.compile_head = compile_head
        self.static = (None if static is None
                       else StaticSettings.of(static, self.neck))
        self.train_cfg = train_cfg
        self.train_settings = TrainSettings.of(train_cfg)
        self.refinement = (None if refinement is None
                           else MODELS.build({'type': 'PAMR', **refinement}))
        self.text_bank = TextBank(**(text_bank or {}))
        self.set_vocabulary(vocabulary)
        self.tag_validation = None if tag_validation is None else MODELS.build(
            {'type': 'TagValidation', 'seen': self.vocabulary, **tag_validation})

    # ------------------------------------------------------------------ words

    def set_vocabulary(self, vocabulary: Words) -> None:
        """Change the words; names, palette and ``dataset_meta`` follow.

        Args:
            vocabulary: A ``Vocabulary``, a name or path for
                ``Vocabulary.load``, or a list of names.

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
        """Nothing: mmseg's tools assign names of their own, the vocabulary decides."""

    def text_embeddings(self, words: Vocabulary | Queries | None = None
                        ) -> TextEmbeddings:
        """Embeddings of words or the vocabulary; computed once while frozen."""
        words = self.vocabulary if words is None else words
        if self.training and self.text_encoder.trainable != 'none':
            return self.text_encoder.sample_embeddings(words)
        return self.text_bank.get(self.text_encoder, words)

    # ---------------------------------------------------------------- weights

    def load_clip(self) -> None:
        """Read CLIP's pretrained weights; one reading serves both towers."""
        load_towers(self.backbone, self.text_encoder)

    def init_weights(self) -> None:
        """Initialise every part and read CLIP's pretrained weights."""
        self.load_clip()
        self.backbone.is_init = self.text_encoder.is_init = True  # not once more
        super().init_weights()

    # ---------------------------------------------------------------- network

    def extract_feat(self, inputs: Tensor, selection: nn.Module | None = None
                     ) -> CLIPFeatures:
        """The image encoder's view of images, with what head and selection need.

        Args:
            inputs: [B, 3, H, W].
            selection: In place of the model's own.
        """
        selection = self.selection if selection is None else selection
        return self.backbone(inputs, **wanted_attention(self.decode_head, selection))

    def select(self, features: CLIPFeatures, text: TextEmbeddings,
               selection: nn.Module | None = None) -> Tensor:
        """Which categories may be in each image, bool [B, C] (Eq. 1-5).

        Args:
            features: The encoder's view of B images.
            text: Embeddings of the vocabulary.
            selection: In place of the model's own.
        """
        chosen = self.selection if selection is None else selection
        return chosen(features, text, self.text_encoder.logit_scale)

    def decode(self, features: CLIPFeatures, text: TextEmbeddings, pairs: Pairs
               ) -> Tensor:
        """Logits of pairs [M, h, w] (Eq. 6-16), see ``decode_pairs``.

        Args:
            features: The encoder's view of B images.
            text: Embeddings of the vocabulary.
            pairs: All M pairs of these images.
        """
        settings = self.train_settings if self.training else self.settings
        return decode_pairs(self.neck, self.decode_head, features, text, pairs,
                            max_places=settings.max_places,
                            compile_options=self.compile_head)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list | None = None, *,
                      text: TextEmbeddings | None = None,
                      selection: nn.Module | None = None, views: int = 1
                      ) -> tuple[Tensor, Pairs, CLIPFeatures]:
        """Logits [M, h, w] of the selected pairs of images [B, 3, H, W].

        Args:
            inputs: Images of one size.
            batch_data_samples: Unused; mmseg's interface has it.
            text: Embeddings in place of those of the vocabulary.
            selection: In place of the model's own.
            views: So many images after each other are views of one, with one selection.
        """
        text = self.text_embeddings() if text is None else text
        if self.static is not None and not self.training:
            return encode_decode_static(
                self.static, self.backbone, self.selection if selection is None else
                selection, self.neck, self.decode_head, inputs, text,
                self.text_encoder.logit_scale, views, not self.settings.share_words)
        features = encode_in_parts(partial(self.extract_feat, selection=selection),
                                   inputs)
        selected = self.select(features, text, selection)
        pairs = shared_pairs(selected, views)
        own = pairs if self.settings.share_words else Pairs.from_mask(selected)
        logits = self.decode(features, text, own)
        return absent_elsewhere(logits, selected, pairs), pairs, features

    def _forward(self, inputs: Images, data_samples: list | None = None
                 ) -> list[Tensor]:
        """Logits [M, h, w] of each group of images of one size."""
        return [self.encode_decode(images)[0] for _, images in group_by_size(inputs)]

    # --------------------------------------------------------------- training

    def loss(self, inputs: Images, data_samples: list[SegDataSample], *,
             text: TextEmbeddings | None = None, selection: nn.Module | None = None
             ) -> dict[str, Tensor]:
        """Losses, and how the selection did.

        Args:
            inputs: [B, 3, H, W], or images [3, H, W] of mixed sizes.
            data_samples: With ``gt_sem_seg``.
            text: Embeddings in place of those of the vocabulary.
            selection: In place of the model's own.

        Returns:
            dict: ``decode.loss_*``, ``aux.loss_*`` of an auxiliary head, and for the
            log ``selection.recall`` (share of the images' categories that were
            selected) and ``selection.count`` (selected per image).

        Raises:
            ValueError: A label outside the vocabulary or of another size than its
                image, or an ignore_index that is a category.
            FloatingPointError: A loss is NaN or infinite.
        """
        total: dict[str, Tensor] = {}
        for words, own in group_by_words(self.vocabulary, data_samples):
            self.set_vocabulary(words)
            check_ignore_index(self.ignore_index, len(words))
            embeddings = self.text_embeddings() if text is None else text
            for index, images in group_by_size(take(inputs, own)):
                samples = [data_samples[own[i]] for i in index]
                losses = self._group_loss(images, samples, embeddings, selection)
                for name, value in losses.items():
                    share = len(index) / len(inputs)
                    total[name] = total.get(name, 0) + share * value
        check_finite(total, data_samples)
        return total

    def _group_loss(self, images: Tensor, data_samples: list[SegDataSample],
                    text: TextEmbeddings, selection: nn.Module | None
                    ) -> dict[str, Tensor]:
        """Losses of images of one size."""
        labels = stack_labels(images, data_samples)
        present = categories_in(labels, len(self.vocabulary), self.ignore_index)
        features = self.extract_feat(images, selection)
        selected = self.select(features, text, selection)
        joined = selected | present if self.join_ground_truth else selected
        pairs = Pairs.from_mask(joined)
        logits = self.decode(features, text, pairs)
        losses = add_prefix(pair_losses(self.decode_head.losses, logits, labels, pairs,
                                        self.ignore_index), 'decode')
        if self.auxiliary_head is not None:
            maps = (*features.shallow, features.patch_map)
            losses.update(add_prefix(
                self.auxiliary_head.loss(maps, data_samples, self.train_cfg), 'aux'))
        found = (selected & present).sum() / present.sum().clamp(min=1)
        losses['selection.recall'] = found.float()
        losses['selection.count'] = selected.sum(1).float().mean()
        return losses

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
            at ``ori_shape``), the metainfo ``selected_categories`` (ids), and what
            ``test_cfg`` asks for: ``seg_logits``, the probabilities of the selected
            categories in their order, ``word_scores``, ``pred_probability``,
            ``patch_features`` [D, rows, columns] and their ``encoder_input``.
        """
        if data_samples is None:
            data_samples = [SegDataSample() for _ in range(len(inputs))]
        for words, own in group_by_words(self.vocabulary, data_samples):
            self.set_vocabulary(words)
            for index, images in group_by_size(take(inputs, own)):
                self._predict_group(images, [data_samples[own[i]] for i in index])
        return data_samples

    def _predict_group(self, images: Tensor, data_samples: list[SegDataSample]) -> None:
        """Write the predictions of images of one size."""
        views = self.make_views(images)
        logits, pairs, features = self.encode_decode(
            views.images, views=views.per_image,
            text=self.text_embeddings(self.queries))
        for i, sample in enumerate(data_samples):
            self.write_prediction(sample, logits, pairs, views, i)
            self.look_again(sample, features, views, i)

    def make_views(self, images: Tensor) -> Views:
        """The views of images [B, 3, H, W], as ``test_cfg`` wants them."""
        return make_views(images, **self.settings.views(),
                          grid_of=getattr(self.backbone, 'grid_of', None))

    def write_prediction(self, sample: SegDataSample, logits: Tensor, pairs: Pairs,
                         views: Views, image: int) -> None:
        """Give a sample the label map of one image.

        Args:
            sample: Gets what ``predict`` returns.
            logits: Of all pairs of all views, [M, h, w].
            pairs: M pairs; ``pairs.image`` counts views.
            views: The views.
            image: Which image.
        """
        settings, none_id = self.settings, self.none_id
        ids = Ids.of_queries(self.queries, self.background, none_id)
        found = make_label_map(logits, pairs, views, image, sample.metainfo,
                               activation=self.decode_head.activation,
                               max_maps=settings.max_maps, ids=ids,
                               keep_maps=settings.keeps_maps,
                               maps_side=settings.maps_side,
                               keep_probability=settings.return_probability,
                               refinement=self.refinement)
        sample.pred_sem_seg = PixelData(data=found.seg_map[None])
        sample.set_metainfo(dict(selected_categories=found.categories.tolist(),
                                 names_digest=self.vocabulary.names_digest,
                                 none_id=none_id))
        if found.probability is not None:
            sample.pred_probability = PixelData(data=found.probability[None])
        if found.maps is not None and settings.return_logits:
            sample.seg_logits = PixelData(data=found.maps)
        if found.maps is not None and settings.return_scores:
            sample.word_scores = word_scores(found, self.vocabulary.names)
