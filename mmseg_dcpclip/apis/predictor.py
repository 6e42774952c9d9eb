"""Pictures and words in, label maps out."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmengine import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader, Runner
from mmseg.registry import HOOKS, MODELS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from ..engine.hooks.vocabulary_hook import dataset_vocabulary
from ..models.tag_validation import TagValidation
from ..vocabulary import Vocabulary
from .images import ImageLike, load_image
from .overlay import draw_overlay

Words = Vocabulary | str | Sequence[str]


class Predictor:
    """A trained model for single pictures.

    Args:
        config: Path of a config, or the config.
        checkpoint: Path or URL of its weights. None: CLIP's pretrained weights only,
            as for training-free configs.
        device: As in torch.
        tag_validation: Check predictions as the ``TagValidationHook`` does. None: as
            the config's ``custom_hooks`` say.
        batch_size: Pictures that go through the network at once.

    Raises:
        FileNotFoundError: There is no such config or checkpoint.
        ValueError: The config is none of a DCPCLIP model, or the checkpoint belongs
            to another one.
    """

    def __init__(self, config: str | Path | Config,
                 checkpoint: str | Path | None = None,
                 device: str | torch.device = 'cpu',
                 tag_validation: TagValidation | None = None,
                 batch_size: int = 8) -> None:
        if not isinstance(config, Config):
            if not Path(config).is_file():
                raise FileNotFoundError(f'no such config: {config}')
            config = Config.fromfile(config)
        if 'model' not in config or 'test_pipeline' not in config:
            raise ValueError('the config has no model or no test_pipeline')
        init_default_scope(config.get('default_scope', 'mmseg'))
        self.config = config
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.model = MODELS.build(config.model)
        if not hasattr(self.model, 'set_vocabulary'):
            raise ValueError(f'Predictor needs a DCPCLIP model, the config has '
                             f'{config.model.type}')
        if checkpoint is None:
            self.model.load_clip()
            if any(p.requires_grad for p in self.model.decode_head.parameters()):
                warnings.warn('no checkpoint: the decode head is untrained and its '
                              'masks mean nothing', stacklevel=2)
        else:
            load_weights(self.model, checkpoint)
        self.model.to(self.device).eval()
        self.model.tag_validation = tag_validation or _configured_validation(
            config, self.model.vocabulary)
        # Pictures are loaded here, whatever form they have.
        self.pipeline = Compose([t for t in config.test_pipeline
                                 if not t['type'].startswith('Load')])

    @property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary: The words of the config, used where none are given."""
        return self.model.vocabulary

    @torch.no_grad()
    def predict(self, images: ImageLike | Sequence[ImageLike],
                vocabulary: Words | None = None
                ) -> SegDataSample | list[SegDataSample]:
        """Segment pictures.

        Args:
            images: A picture as :func:`~.images.load_image` takes it, or a list of
                these, sizes mixed. Arrays are in RGB.
            vocabulary: The words of this call: a :class:`Vocabulary`, a name or path
                for :meth:`Vocabulary.load`, or a list of names.

        Returns:
            SegDataSample or a list of them, as given: ``pred_sem_seg.data`` holds ids
            of the vocabulary, int64 [1, H, W]; ``classes`` its names.

        Raises:
            ValueError, FileNotFoundError, TypeError: A picture cannot be read, or the
            vocabulary is empty; before anything is computed.
        """
        single = not isinstance(images, (list, tuple))
        pictures = [load_image(image) for image in ([images] if single else images)]
        own = self.model.vocabulary
        try:
            if vocabulary is not None:
                self.model.set_vocabulary(vocabulary)
            results: list[SegDataSample] = []
            for start in range(0, len(pictures), self.batch_size):
                results += self._predict_batch(pictures[start:start + self.batch_size])
        finally:
            self.model.set_vocabulary(own)
        return results[0] if single else results

    def _predict_batch(self, pictures: Sequence[np.ndarray]) -> list[SegDataSample]:
        data = dict(inputs=[], data_samples=[])
        for picture in pictures:
            size = picture.shape[:2]
            packed = self.pipeline(dict(img=np.ascontiguousarray(picture[..., ::-1]),
                                        img_shape=size, ori_shape=size))
            data['inputs'].append(packed['inputs'])
            data['data_samples'].append(packed['data_samples'])
        samples = self.model.test_step(data)
        for sample in samples:
            sample.set_metainfo(dict(classes=self.model.vocabulary.names))
        return samples

    def draw(self, image: ImageLike, result: SegDataSample,
             vocabulary: Words | None = None) -> Image.Image:
        """Draw a prediction, see :func:`~.overlay.draw_overlay`.

        Args:
            image: The picture.
            result: Its prediction.
            vocabulary: The words it was made with.
        """
        words = self.vocabulary if vocabulary is None else Vocabulary.of(vocabulary)
        return draw_overlay(load_image(image),
                            result.pred_sem_seg.data[0].cpu().numpy(), words)


def load_weights(model: torch.nn.Module, checkpoint: str | Path) -> None:
    """Load a checkpoint, all of it or nothing.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, or one of another model.
    """
    if '://' not in str(checkpoint) and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'no such checkpoint: {checkpoint}')
    try:
        state = CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu')
        state = state.get('state_dict', state)
    except Exception as error:
        raise ValueError(f'{checkpoint} is no checkpoint: {error}') from error
    own = model.state_dict()
    missing = [k for k in own if k not in state]
    unfit = [k for k in own if k in state and state[k].shape != own[k].shape]
    if missing or unfit:
        raise ValueError(
            f'{checkpoint} belongs to another model: of {len(own)} weights '
            f'{len(missing)} are missing {missing[:3]} and {len(unfit)} have another '
            f'shape {unfit[:3]}; use the config that it was trained with')
    model.load_state_dict({k: state[k] for k in own})


def open_test_set(config: str | Path | Config, checkpoint: str | Path,
                  device: str = 'cpu', options: Mapping | None = None
                  ) -> tuple[torch.nn.Module, DataLoader]:
    """Build the model and the test loader of a config.

    Args:
        config: Path of the config, or the config.
        checkpoint: Weights, or ``'none'`` for CLIP's own.
        device: As in torch.
        options: Changes of the config, by dotted key.

    Returns:
        tuple: The model, in eval mode, with the words of the test set and the
        config's tag validation; and ``test_dataloader``.

    Raises:
        FileNotFoundError, ValueError: As :class:`Predictor` does.
    """
    config = deepcopy(config) if isinstance(config, Config) else Config.fromfile(config)
    config.merge_from_dict(dict(options or {}))
    weights = None if checkpoint == 'none' else checkpoint
    model = Predictor(config, weights, device).model
    loader = Runner.build_dataloader(config.test_dataloader)
    model.set_vocabulary(dataset_vocabulary(loader.dataset))
    return model, loader


def labelled_pictures(model: torch.nn.Module, loader: DataLoader,
                      limit: int | None = None
                      ) -> Iterator[tuple[Tensor, SegDataSample, Tensor]]:
    """Go through a test set one picture at a time, ready for the model.

    Args:
        model: As :func:`open_test_set` returns it.
        loader: Likewise.
        limit: No more pictures than these.

    Yields:
        tuple: The picture, [1, 3, H, W]; its data sample; its label, int64 [H, W].
        Pictures without a labelled pixel are left out.
    """
    def pictures() -> Iterator:
        for batch in loader:
            data = model.data_preprocessor(batch)
            for image, sample in zip(data['inputs'], data['data_samples']):
                label = sample.gt_sem_seg.data[0].long()
                if (label != loader.dataset.ignore_index).any():
                    yield image[None], sample, label

    return islice(pictures(), limit)


def _configured_validation(config: Config, vocabulary: Vocabulary
                           ) -> TagValidation | None:
    """What the config's TagValidationHook would attach."""
    for hook in config.get('custom_hooks') or []:
        if hook['type'] == 'TagValidationHook':
            options = {k: v for k, v in hook.items() if k != 'priority'}
            return HOOKS.build(options).make_validation(vocabulary)
    return None
