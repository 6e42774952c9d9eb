"""Which transforms of mmseg keep label maps right, checked when a pipeline is built.

Labels are int32, their ids may be above 255. Most transforms of mmseg and mmcv keep
them; a few mix ids where they interpolate, or take another kind of data. Those that
fill or look at pixels without a class bring 255 for it, which may be a class.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..vocabulary import Vocabulary
from .dataset_vocabulary import datasets_inside

_VOLUMES = 'is made for volumes, not for label maps [H, W]'
# Why, and what to use instead.
REFUSED = {
    'LoadAnnotations': 'cuts ids to 8 bits and changes greys of fewer bits; use '
                       'LoadWideAnnotations',
    'LoadBiomedicalAnnotation': _VOLUMES,
    'LoadBiomedicalData': _VOLUMES,
    'BioMedical3DPad': _VOLUMES,
    'BioMedical3DRandomCrop': _VOLUMES,
    'BioMedical3DRandomFlip': _VOLUMES,
}


class Filling(NamedTuple):
    """A value that a transform takes for pixels without a class.

    Attributes:
        argument: How it is set.
        value: The value.
    """

    argument: str
    value: Any


def check_label_transforms(transforms: Iterable[Any], vocabulary: Vocabulary,
                           ignore_index: int) -> None:
    """Refuse transforms that would make wrong labels.

    Args:
        transforms: Of a built pipeline; those inside of others are looked at, too.
        vocabulary: The classes.
        ignore_index: Label value of pixels without a class.

    Raises:
        ValueError: Names the transform and the remedy.
    """
    for transform in all_transforms(transforms):
        name = type(transform).__name__
        reason = REFUSED.get(name)
        if name == 'RandomRotFlip' and transform.rotate_prob > 0:
            reason = ('mixes class ids where it rotates, and fills with class 0; use '
                      f'RandomRotate(seg_pad_val={ignore_index}), or rotate_prob=0')
        if reason:
            raise ValueError(f'{name} {reason}')
        for filling in fillings(transform):
            if filling.value != ignore_index:
                raise ValueError(
                    f'{name} takes {filling.value} for pixels without a class, '
                    f'{_meaning(filling.value, vocabulary, ignore_index)}: set '
                    f'{filling.argument.format(ignore_index)}')


def check_wrappers(dataset: Any) -> None:
    """Check the pipelines of wrappers such as mmseg's ``MultiImageMixDataset``.

    A dataset checks its own when it is built; it does not see that of a wrapper.

    Args:
        dataset: With or without wrappers.

    Raises:
        ValueError: As of ``check_label_transforms``.
    """
    for inner in datasets_inside(dataset):
        check_wrappers(inner)
        for one in datasets_inside(inner) or [inner]:
            if hasattr(one, 'vocabulary'):
                check_label_transforms(getattr(dataset, 'pipeline', ()),
                                       one.vocabulary, one.ignore_index)


def all_transforms(transforms: Iterable[Any]) -> Iterator[Any]:
    """Transforms with those inside of them, such as of ``RandomChoice``."""
    for transform in transforms:
        if isinstance(transform, (list, tuple)):
            yield from all_transforms(transform)
        elif callable(transform):
            yield transform
            for name in ('transforms', 'subroutines', 'aug'):
                inner = getattr(transform, name, ())
                yield from all_transforms(
                    [inner] if callable(inner) else inner or ())


def fillings(transform: Any) -> Iterator[Filling]:
    """The values that a transform takes for pixels without a class.

    Those that it does not use as it is set are left out.
    """
    name = type(transform).__name__
    if getattr(transform, 'prob', 1) == 0:
        return
    if name == 'Pad' and transform.padding_mode == 'constant':
        yield Filling('pad_val=dict(img=0, seg={})', transform.pad_val.get('seg', 255))
    elif name == 'CenterCrop' and transform.auto_pad:
        pad = transform.pad_cfg
        if pad.get('padding_mode', 'constant') == 'constant':
            value = pad.get('pad_val')
            yield Filling("pad_cfg=dict(type='Pad', pad_val=dict(img=0, seg={}))",
                          value.get('seg', 255) if isinstance(value, dict) else 255)
    elif name == 'RandomCrop' and transform.cat_max_ratio < 1:
        yield Filling('ignore_index={}', transform.ignore_index)
    elif name == 'GenerateEdge':
        yield Filling('ignore_index={}', transform.ignore_index)
    for attribute in ('seg_pad_val', 'seg_fill_in'):
        if getattr(transform, attribute, None) is not None:
            yield Filling(attribute + '={}', getattr(transform, attribute))
    # Of albumentations, where a border of another mode than 0 repeats pixels.
    if getattr(transform, 'border_mode', 0) == 0:
        if hasattr(transform, 'mask_value'):
            yield Filling('mask_value={}', transform.mask_value or 0)
        elif getattr(transform, 'fill_mask', None) is not None:
            yield Filling('fill_mask={}', transform.fill_mask)


def _meaning(value: Any, vocabulary: Vocabulary, ignore_index: int) -> str:
    """What a label value is in a dataset."""
    if isinstance(value, int) and 0 <= value < len(vocabulary):
        return f"which is the class '{vocabulary.names[value]}'"
    return f'which is neither a class nor the ignore index {ignore_index}'
