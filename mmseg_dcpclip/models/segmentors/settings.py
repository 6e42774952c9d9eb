"""How a model trains and tests: ``train_cfg`` and ``test_cfg``, checked when the model
is built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal, TypeGuard

from ...vocabulary import Background, Vocabulary
from .forms import read_forms

MAX_MAPS = 32
# What says which views a picture has.
VIEW_KEYS = ('mode', 'crop_size', 'stride', 'global_view', 'share_words', 'size', 'tta')


@dataclass(frozen=True)
class TrainSettings:
    """The keys of ``train_cfg``.

    Attributes:
        max_places: Pairs times patches whose activations are kept for the gradients;
            those of more pairs are computed again in the backward pass, so many at a
            time. None: as suits the device.
    """
    max_places: int | None = None

    @classmethod
    def of(cls, train_cfg: Mapping[str, Any] | None) -> 'TrainSettings':
        """Read a ``train_cfg``.

        Raises:
            ValueError: An unknown key, or a number below 1.
        """
        config = dict(train_cfg or {})
        check_keys(cls, config, 'train_cfg')
        settings = cls(**config)
        check_limit('train_cfg.max_places', settings.max_places)
        return settings


@dataclass(frozen=True)
class PredictSettings:
    """The keys of ``test_cfg``.

    Attributes:
        mode: ``'whole'``, or ``'slide'`` for windows.
        crop_size: Height and width of a window in pixels (slide). Of a smaller picture
            a window is as high or wide as the picture.
        stride: Steps of the windows down and right in pixels (slide), no longer than a
            window.
        global_view: Whether the whole image, resized to a window, is a view beside its
            windows (slide).
        share_words: Whether each view decodes what any view of the picture selected;
            otherwise its own, and the others are absent there.
        size: Height and width in pixels to which a picture is resized before it is cut
            into views; None: it stays as the pipeline made it.
        tta: Further forms of the picture, whose maps are averaged: ``'none'``,
            ``'flip'``, ``'shift'`` (by half a patch), ``'flip+shift'``, or a list of
            arguments of ``Form``.
        return_logits: Whether predictions carry ``seg_logits``, the probabilities of
            the selected categories.
        return_features: Whether predictions carry ``patch_features``, the image's
            patch features in the joint space, and ``encoder_input``, the image as the
            encoder saw it as a whole, without padding and flips.
        return_scores: Whether predictions carry ``word_scores``, names, ids, scores and
            probability maps of the selected categories.
        maps_side: Most pixels of a side of these maps and of ``seg_logits``, which are
            then evenly picked; None: all, as always with test-time augmentation.
        return_probability: Whether predictions carry ``pred_probability``, how probable
            each pixel's category is before a second look.
        background: What is of no category: a threshold, words, or both, as
            ``Background.of`` takes it. ``'auto'``: what the words at hand say, which
            label sets with a class for it do; None: every pixel is of a category.
        synonyms: ``'mean'`` of a category's embeddings, or ``'max'`` of its
            synonyms' probabilities.
        max_maps: Category maps held at full size at once; fewer of a large picture.
        max_places: Pairs times patches that are decoded at once; None: as suits the
            device.
    """
    mode: str = 'whole'
    crop_size: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    global_view: bool = True
    share_words: bool = True
    size: tuple[int, int] | None = None
    tta: str | Sequence[Mapping[str, Any]] = 'none'
    return_logits: bool = False
    return_features: bool = False
    return_scores: bool = False
    maps_side: int | None = None
    return_probability: bool = False
    background: Background | Literal['auto'] | None = 'auto'
    synonyms: str = 'mean'
    max_maps: int = MAX_MAPS
    max_places: int | None = None

    @classmethod
    def of(cls, test_cfg: Mapping[str, Any] | None) -> 'PredictSettings':
        """Read a ``test_cfg``.

        Raises:
            ValueError: An unknown key, mode or form, windows without their sizes or
                with gaps between them, a number below 1, an unknown treatment of
                synonyms, or a background that is refused.
        """
        config = dict(test_cfg or {})
        check_keys(cls, config, 'test_cfg')
        if config.get('background', 'auto') != 'auto':
            config['background'] = Background.of(config['background'])
        settings = cls(**config)
        if settings.synonyms not in ('mean', 'max'):
            raise ValueError("test_cfg.synonyms must be 'mean' or 'max', got "
                             f'{settings.synonyms!r}')
        if settings.mode not in ('whole', 'slide'):
            raise ValueError("test_cfg needs mode='whole' or mode='slide', got mode="
                             f'{settings.mode!r}')
        if settings.mode == 'slide':
            settings._check_windows()
        if settings.size is not None and not _is_size(settings.size):
            raise ValueError('test_cfg.size must be two whole numbers of pixels, at '
                             f'least 1; got {settings.size}')
        read_forms(settings.tta)
        for name in ('max_maps', 'max_places', 'maps_side'):
            check_limit(f'test_cfg.{name}', getattr(settings, name))
        return settings

    def _check_windows(self) -> None:
        crop_size, stride = self.crop_size, self.stride
        if not (_is_size(crop_size) and _is_size(stride)):
            raise ValueError(
                "test_cfg with mode='slide' needs crop_size and stride as two whole "
                'numbers of pixels each, at least 1; got '
                f'crop_size={crop_size}, stride={stride}')
        if any(step > side for step, side in zip(stride, crop_size)):
            raise ValueError(
                f'test_cfg.stride {tuple(stride)} is longer than '
                f'crop_size {tuple(crop_size)}: pixels between the windows would not '
                'be seen')

    def background_of(self, words: Vocabulary) -> Background | None:
        """What is of no category where these are the words."""
        return words.background if self.background == 'auto' else self.background

    @property
    def keeps_maps(self) -> bool:
        """bool: Whether all probabilities of the selected categories are wanted."""
        return self.return_logits or self.return_scores

    def views(self) -> dict[str, Any]:
        """Arguments of ``make_views``."""
        shown: dict[str, Any] = dict(mode=self.mode, size=self.size,
                                     forms=read_forms(self.tta))
        if self.mode == 'whole':
            return shown
        return dict(shown, crop_size=self.crop_size, stride=self.stride,
                    global_view=self.global_view)


def check_keys(settings: type, config: Mapping[str, Any], name: str) -> None:
    """Refuse a key that is no attribute of the settings."""
    known = [field.name for field in fields(settings)]
    for key in config:
        if key not in known:
            near = get_close_matches(key, known, 1)
            raise ValueError(
                f'{name} has no key {key!r}' + (
                    f'; did you mean {near[0]!r}?' if near else '')
                + f' Known: {", ".join(known)}')


def check_limit(name: str, limit: int | None) -> None:
    """Refuse a number below 1."""
    if limit is not None and limit < 1:
        raise ValueError(f'{name} must be at least 1, got {limit}')


def _is_size(pair: Any) -> TypeGuard[Sequence[int]]:
    return (isinstance(pair, (list, tuple)) and len(pair) == 2
            and all(isinstance(n, int) and n >= 1 for n in pair))
