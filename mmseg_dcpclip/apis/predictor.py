"""Pictures and words in, label maps out."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.registry import HOOKS, MODELS
from mmseg.structures import SegDataSample
from PIL import Image

from ..engine import TagValidationHook, use_mode, use_tta
from ..models.devices import check_device
from ..models.segmentors.forms import check_preset
from ..models.segmentors.views import Images
from ..models.tag_validation import TagValidation
from ..pictures import ImageLike, load_image
from ..vocabulary import Vocabulary, Words
from .checkpoints import find_model, load_weights
from .hub import HubMixin
from .overlay import draw_overlay
from .predicting import PredictMixin
from .preparing import prepare


class Predictor(PredictMixin, HubMixin):
    """A trained model for single pictures.

    Args:
        config: Path of a config, the name of one of the package
            (``'dcpclip_mini'``), or the config. Or a model saved by
            ``save_pretrained``: its folder, or ``'hf-hub:ORG/NAME'``.
        checkpoint: Path or URL of its weights; ``'none'``: CLIP's pretrained weights
            only. None: those that were saved with the model or that the package ships
            for its config (``'dcpclip_mini'``), else CLIP's only, as for training-free
            configs.
        device: As in torch.
        tag_validation: A second look at predictions (Eq. 17) in place of the config's,
            which is ``model.tag_validation`` or that of a ``TagValidationHook``.
        batch_size: Pictures that go through the network at once.
        mode: One of the config's ``modes``, ``'fast'`` or ``'accurate'`` in those of
            the package; None: as its ``test_cfg`` says.
        tta: Further forms of each picture, ``'flip'``, ``'shift'`` or
            ``'flip+shift'``; None: as its ``test_cfg`` says.

    Raises:
        FileNotFoundError: There is no such config or checkpoint.
        ValueError: There is no such device, mode or preset, the config is none of a
            DCPCLIP model, or the checkpoint belongs to another one.
    """

    def __init__(self, config: str | Path | Config,
                 checkpoint: str | Path | None = None,
                 device: str | torch.device = 'cpu',
                 tag_validation: TagValidation | None = None,
                 batch_size: int = 8, mode: str | None = None,
                 tta: str | None = None) -> None:
        self.device = check_device(device)
        config, checkpoint = find_model(config, checkpoint)
        if 'model' not in config or 'test_pipeline' not in config:
            raise ValueError('the config has no model or no test_pipeline')
        if mode is not None or tta is not None:
            config = deepcopy(config)
        if mode is not None:
            use_mode(config, mode)
        if tta is not None:
            use_tta(config, check_preset(tta))
        init_default_scope(config.get('default_scope', 'mmseg'))
        self.config = config
        self.batch_size = batch_size
        self.model = MODELS.build(config.model)
        if not hasattr(self.model, 'set_vocabulary'):
            raise ValueError('Predictor needs a DCPCLIP model, the config has '
                             f'{type(self.model).__name__}')
        if checkpoint is None:
            self.model.load_clip()
            if any(p.requires_grad for p in self.model.decode_head.parameters()):
                warnings.warn('no checkpoint: the decode head is untrained and its '
                              'masks mean nothing', stacklevel=2)
        else:
            load_weights(self.model, checkpoint)
        self.model.to(self.device).eval()
        if tag_validation is not None:
            self.model.tag_validation = tag_validation
        elif self.model.tag_validation is None:
            self.model.tag_validation = hook_validation(config, self.model.vocabulary)
        # Pictures are loaded here, whatever form they have.
        self.pipeline = Compose([t for t in config.test_pipeline
                                 if not _name_of(t['type']).startswith('Load')])

    @property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary: The words of the config, used where none are given."""
        return self.model.vocabulary

    def predict_stream(self, images: Iterable[ImageLike],
                       vocabulary: Words | None = None, *,
                       background: Any = None, synonyms: str | None = None,
                       return_scores: bool | None = None) -> Iterator[SegDataSample]:
        """Segment any number of pictures, one batch in memory at a time.

        Args:
            images: Pictures as ``load_image`` takes them; a generator is read as far
                as the next batch.
            vocabulary: As in ``predict``.
            background: What is of no category, as ``Background.of`` takes it: a
                threshold, words, or both; ``'none'``: every pixel is of a category;
                ``'auto'``: as the vocabulary says, which label sets with a class for it
                do.
            synonyms: ``'mean'`` of a category's embeddings, or ``'max'`` of its
                synonyms' probabilities.
            return_scores: Whether to return ``word_scores``. These three are the
                config's ``test_cfg`` where they are None.

        Yields:
            SegDataSample: As of ``predict``, in the order of the pictures. Nothing
            here keeps it.

        Raises:
            ValueError: The vocabulary or an option is refused, at once. Or a picture
                cannot be read, after all before it were yielded.
            FileNotFoundError: There is no such picture, likewise.
            TypeError: Words or a picture are something else, likewise.
        """
        words = self.vocabulary if vocabulary is None else Vocabulary.of(vocabulary)
        options = dict(background=background, synonyms=synonyms,
                       return_scores=return_scores)
        given = {k: v for k, v in options.items() if v is not None}
        with self.asked(words, given):
            pass  # refused here rather than at the first picture
        return self._stream(images, words, given)

    def encode(self, vocabulary: Words | None = None, **options: Any) -> None:
        """Encode words, so that predictions find them in the text bank.

        Args:
            vocabulary: As in ``predict``.
            options: As there.

        Raises:
            ValueError: The vocabulary or an option is refused.
        """
        words = self.vocabulary if vocabulary is None else Vocabulary.of(vocabulary)
        with self.asked(words, {k: v for k, v in options.items() if v is not None}):
            self.model.text_embeddings(self.model.queries)

    @contextmanager
    def asked(self, words: Vocabulary, options: dict) -> Iterator[None]:
        """The model with other words and keys of ``test_cfg``, for some time.

        Args:
            words: The words.
            options: Keys that change.

        Raises:
            ValueError: An option is refused.
        """
        own, test_cfg = self.model.vocabulary, self.model.test_cfg
        try:
            self.model.set_vocabulary(words)
            if options:
                self.model.test_cfg = dict(test_cfg, **options)
            _ = self.model.queries  # refuses a background
            yield
        finally:
            self.model.set_vocabulary(own)
            if options:
                self.model.test_cfg = test_cfg

    def _stream(self, images: Iterable[ImageLike], words: Vocabulary, options: dict
                ) -> Iterator[SegDataSample]:
        rest, more = iter(images), True
        while more:
            pictures: list[np.ndarray] = []
            failed: Exception | None = None
            while more and len(pictures) < self.batch_size:
                try:
                    pictures.append(load_image(next(rest)))
                except StopIteration:
                    more = False
                except Exception as error:  # told after the pictures before it
                    failed, more = error, False
            packed = [prepare(self.pipeline, picture) for picture in pictures]
            del pictures
            samples = deque(self.predict_prepared(
                [p['inputs'] for p in packed], [p['data_samples'] for p in packed],
                words, options) if packed else ())
            del packed
            while samples:
                yield samples.popleft()  # held by the caller alone
            if failed is not None:
                raise failed

    @torch.no_grad()
    def predict_prepared(self, inputs: Images, data_samples: list[SegDataSample],
                         vocabulary: Vocabulary, options: Mapping[str, Any]
                         ) -> list[SegDataSample]:
        """Segment one batch that went through ``prepare``.

        Args:
            inputs: Pictures [3, h, w], or [B, 3, h, w] of one size.
            data_samples: Theirs.
            vocabulary: The words.
            options: Keys of ``test_cfg`` to be changed for this batch.

        Returns:
            list[SegDataSample]: As of ``predict``.
        """
        # for this batch only: other words may be asked for between two of them
        with self.asked(vocabulary, dict(options)):
            samples = self.model.test_step(dict(inputs=inputs,
                                                data_samples=data_samples))
        for sample in samples:
            sample.set_metainfo(dict(classes=vocabulary.names))
        return samples

    def draw(self, image: ImageLike, result: SegDataSample,
             vocabulary: Words | None = None) -> Image.Image:
        """Draw a prediction, see ``draw_overlay``.

        Args:
            image: The picture.
            result: Its prediction.
            vocabulary: The words it was made with.
        """
        words = self.vocabulary if vocabulary is None else Vocabulary.of(vocabulary)
        return draw_overlay(load_image(image),
                            result.pred_sem_seg.data[0].cpu().numpy(), words,
                            none_id=result.get('none_id'))


def hook_validation(config: Config, vocabulary: Vocabulary) -> TagValidation | None:
    """What a ``TagValidationHook`` of a config would give the model.

    Args:
        config: The whole config.
        vocabulary: The config's.
    """
    for _, hook in validation_hooks(config):
        options = {k: v for k, v in hook.items() if k != 'priority'}
        return HOOKS.build(options).make_validation(vocabulary)
    return None


def validation_hooks(config: Config) -> list[tuple[str, Mapping]]:
    """The ``TagValidationHook`` of a config, each with the key that holds it."""
    hooks = [(f'default_hooks.{name}', hook)
             for name, hook in (config.get('default_hooks') or {}).items()]
    hooks += [('custom_hooks', hook) for hook in config.get('custom_hooks') or []]
    return [(key, hook) for key, hook in hooks if isinstance(hook, Mapping)
            and _class_of_hook(hook) is TagValidationHook]


def _class_of_hook(hook: Mapping) -> type | None:
    kind = hook['type']
    return HOOKS.get(kind) if isinstance(kind, str) else kind


def _name_of(kind: str | type) -> str:
    """Name of a ``type``, which is a class in lazy configs and may have a scope."""
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__
