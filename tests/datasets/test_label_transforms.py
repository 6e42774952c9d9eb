"""All transforms of mmseg and mmcv on labels of 847 classes."""

from functools import partial

import numpy as np
import pytest
from data_trees import make_own_tree
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmseg.datasets import MultiImageMixDataset
from mmseg.registry import TRANSFORMS

import mmseg_dcpclip.datasets  # noqa: F401  mmseg's transforms, too
from mmseg_dcpclip.datasets import TextVocabDataset
from mmseg_dcpclip.datasets.label_transforms import (
    REFUSED,
    check_label_transforms,
    check_wrappers,
)
from mmseg_dcpclip.vocabulary import Vocabulary

WORDS = Vocabulary([f'kind {i}' for i in range(847)])
IGNORE = 65535
IDS = np.array([[0, 255, 256, 300], [458, 700, 846, IGNORE]], dtype=np.int32)
check = partial(check_label_transforms, vocabulary=WORDS, ignore_index=IGNORE)

# Those that change labels, with the arguments that they need here.
LABELS = [
    dict(type='RandomCrop', crop_size=(20, 24), cat_max_ratio=0.5, ignore_index=IGNORE),
    dict(type='RandomRotate', prob=1.0, degree=(20, 20), seg_pad_val=IGNORE),
    dict(type='RandomRotFlip', rotate_prob=0.0, flip_prob=1.0),
    dict(type='RandomFlip', prob=1.0, direction='horizontal'),
    dict(type='RandomFlip', prob=1.0, direction='vertical'),
    dict(type='RandomFlip', prob=1.0, direction='diagonal'),
    dict(type='Resize', scale=(90, 30), keep_ratio=False),
    dict(type='mmcv.Resize', scale=(90, 30), keep_ratio=True),
    dict(type='RandomResize', scale=(80, 40), ratio_range=(0.5, 2.0)),
    dict(type='RandomChoiceResize', scales=[(20, 30), (70, 50)]),
    dict(type='ResizeShortestEdge', scale=20, max_size=60),
    dict(type='ResizeToMultiple', size_divisor=24),
    dict(type='SegRescale', scale_factor=0.5),
    dict(type='Pad', size=(70, 80), pad_val=dict(img=0, seg=IGNORE)),
    dict(type='CenterCrop', crop_size=(20, 30)),
    dict(type='CenterCrop', crop_size=(90, 90), auto_pad=True,
         pad_cfg=dict(type='Pad', pad_val=dict(img=0, seg=IGNORE))),
    dict(type='RandomCutOut', prob=1.0, n_holes=2, cutout_shape=(5, 5)),
    dict(type='RandomMosaic', prob=1.0, img_scale=(20, 30), seg_pad_val=IGNORE),
    dict(type='GenerateEdge', ignore_index=IGNORE),
    dict(type='RandomChoice', transforms=[[dict(type='RandomFlip', prob=1.0)]]),
    dict(type='RandomApply', prob=1.0, transforms=[dict(type='RandomFlip', prob=1.0)]),
]
# Those that leave labels as they are.
PICTURES = [
    dict(type='Rerange'), dict(type='CLAHE'), dict(type='RGB2Gray'),
    dict(type='AdjustGamma'), dict(type='PhotoMetricDistortion'),
    dict(type='RandomGrayscale', prob=1.0),
    dict(type='Normalize', mean=[0, 0, 0], std=[1, 1, 1]),
    dict(type='KeyMapper', transforms=[dict(type='CLAHE')], mapping=dict(img='img')),
    dict(type='Compose', transforms=[dict(type='CLAHE')]),
    dict(type='TransformBroadcaster', transforms=[dict(type='CLAHE')],
         mapping=dict(img=['img']), auto_remap=True),
]
# Loaders, packers, and kinds of data that have no label maps.
OTHERS = {
    'LoadImageFromFile', 'LoadImageFromNDArray', 'LoadImageFromNpyFile',
    'InferencerLoader', 'LoadSingleRSImageFromFile', 'LoadMultipleRSImageFromFile',
    'LoadBiomedicalImageFromFile', 'LoadDepthAnnotation', 'LoadOneDLAnnotations',
    'BioMedicalGaussianNoise', 'BioMedicalGaussianBlur', 'BioMedicalRandomGamma',
    'ConcatCDInput', 'RandomDepthMix', 'PackSegInputs', 'ToTensor', 'ImageToTensor',
    'TestTimeAug', 'MultiScaleFlipAug',
    'Albu',  # needs another package; its masks are tested below
    'Collect', 'DefaultFormatBundle', 'RandomErasing', 'MultiViewWrapper'}


def sample() -> dict:
    label = IDS.repeat(16, 0).repeat(12, 1)
    picture = (label[..., None] % np.array([256, 251, 241])).astype(np.uint8)
    return dict(img=picture, gt_seg_map=label, seg_fields=['gt_seg_map'],
                img_shape=label.shape, ori_shape=label.shape)


def name_of(settings: dict) -> str:
    return settings['type'].split('.')[-1]


def test_all_are_known():
    """A transform that mmseg registers is tested here or refused."""
    names = {name for registry in (TRANSFORMS, TRANSFORMS.parent)
             for name, one in registry.module_dict.items()
             if one.__module__.split('.')[0] in ('mmseg', 'mmcv')}
    known = {name_of(settings) for settings in (*LABELS, *PICTURES)}
    assert names <= known | OTHERS | set(REFUSED)
    assert {name_of(settings) for settings in LABELS} <= names


@pytest.mark.parametrize('settings', LABELS, ids=name_of)
def test_labels_keep_their_ids(settings):
    np.random.seed(3)
    transform = TRANSFORMS.build(settings)
    check([transform])
    before, results = sample(), sample()
    results['mix_results'] = [sample() for _ in range(3)]
    results = transform(results)
    label = results['gt_seg_map']
    assert label.dtype == np.int32
    assert set(np.unique(label)) <= set(IDS.ravel().tolist())
    assert len(np.unique(label)) > 2
    if name_of(settings) not in ('GenerateEdge', 'RandomCutOut'):
        assert (label.shape != before['gt_seg_map'].shape
                or (label != before['gt_seg_map']).any())
    # Pixels inside of a region still lie on the colour of their class.
    if name_of(settings) not in ('SegRescale', 'RandomCutOut', 'RandomMosaic'):
        colors = label[..., None] % np.array([256, 251, 241])
        same = (results['img'] == colors).all(-1)
        assert same[label != IGNORE].mean() > 0.8


@pytest.mark.parametrize('settings', PICTURES, ids=name_of)
def test_others_leave_labels(settings):
    transform = TRANSFORMS.build(settings)
    check([transform])
    results = sample()
    if settings['type'] == 'CLAHE':
        results['img'] = results['img'][..., :3].copy()
    np.testing.assert_array_equal(
        transform(results)['gt_seg_map'], sample()['gt_seg_map'])


@pytest.mark.parametrize('settings', [
    dict(type='RandomRotFlip', rotate_prob=0.5), dict(type='LoadAnnotations'),
    dict(type='mmcv.LoadAnnotations'), dict(type='LoadBiomedicalAnnotation'),
    dict(type='LoadBiomedicalData', with_seg=True),
    dict(type='BioMedical3DRandomCrop', crop_shape=(1, 2, 2)),
    dict(type='BioMedical3DPad', pad_shape=(1, 2, 2)),
    dict(type='BioMedical3DRandomFlip', prob=1.0, axes=(0, ))], ids=name_of)
def test_refused_by_name(settings):
    with pytest.raises(ValueError, match=name_of(settings)):
        check([TRANSFORMS.build(settings)])
    nested = dict(type='RandomApply', transforms=[
        dict(type='RandomChoice', transforms=[[settings]])])
    with pytest.raises(ValueError, match=name_of(settings)):
        check([TRANSFORMS.build(nested)])


FILLS = [
    (dict(type='RandomRotate', prob=0.5, degree=9), 'seg_pad_val={}'),
    (dict(type='RandomMosaic', prob=0.5), 'seg_pad_val={}'),
    (dict(type='Pad', size_divisor=32), r'pad_val=dict\(img=0, seg={}\)'),
    (dict(type='Pad', size_divisor=32, pad_val=0), r'pad_val=dict\(img=0, seg={}\)'),
    (dict(type='CenterCrop', crop_size=9, auto_pad=True),
     r"pad_cfg=dict\(type='Pad', pad_val=dict\(img=0, seg={}\)\)"),
    (dict(type='RandomCutOut', prob=0.5, n_holes=1, cutout_shape=(5, 5),
          seg_fill_in=255), 'seg_fill_in={}'),
    (dict(type='RandomCrop', crop_size=9, cat_max_ratio=0.75), 'ignore_index={}'),
    (dict(type='GenerateEdge'), 'ignore_index={}')]


@pytest.mark.parametrize('settings, remedy', FILLS, ids=lambda a: (
    a['type'] if isinstance(a, dict) else ''))
def test_values_that_are_classes(settings, remedy):
    transform = TRANSFORMS.build(settings)
    with pytest.raises(ValueError, match=f"{settings['type']} takes 255 .*class "
                       f"'kind 255': set {remedy.format(65535)}"):
        check([transform])
    with pytest.raises(ValueError, match='neither a class nor the ignore index 65535'):
        check_label_transforms([transform], Vocabulary(['a', 'b']), IGNORE)
    check_label_transforms([transform], Vocabulary(['a', 'b']), 255)


@pytest.mark.parametrize('settings', [
    dict(type='RandomRotate', prob=0.0, degree=9),
    dict(type='Pad', size_divisor=32, padding_mode='reflect'),
    dict(type='CenterCrop', crop_size=9), dict(type='RandomCrop', crop_size=9),
    dict(type='RandomCutOut', prob=0.5, n_holes=1, cutout_shape=(5, 5))], ids=name_of)
def test_values_that_are_not_used(settings):
    check([TRANSFORMS.build(settings)])


def test_masks_of_albumentations():
    class Rotate:
        def __init__(self, **settings):
            self.__dict__.update(settings)

        def __call__(self):
            """As all transforms are callable."""

    for settings in (dict(mask_value=None), dict(fill_mask=0), dict(mask_value=3)):
        with pytest.raises(ValueError, match='Rotate takes .* set (fill|mask)_'):
            check([Rotate(transforms=[], aug=Rotate(transforms=[Rotate(**settings)]))])
    for settings in (dict(mask_value=IGNORE), dict(fill_mask=None),
                     dict(mask_value=None, border_mode=4), {}):
        check([Rotate(**settings)])


def test_pipelines_are_checked_when_they_are_built(tmp_path):
    root = make_own_tree(tmp_path / 'own', names=WORDS.names)
    settings = dict(vocabulary='classes.txt', data_root=str(root), data_prefix=dict(
        img_path='images/val', seg_map_path='labels/val'))
    with pytest.raises(ValueError, match="RandomRotate takes 255 .*'kind 255'"):
        TextVocabDataset(**settings, pipeline=[
            dict(type='LoadWideAnnotations'), dict(type='RandomRotate', prob=1.0,
                                                   degree=9)])
    dataset = dict(settings, type='TextVocabDataset')
    mosaic = dict(type='RandomMosaic', prob=1.0)
    for inner in (dataset, ConcatDataset([dataset])):
        with pytest.raises(ValueError, match='RandomMosaic takes 255'):
            check_wrappers(MultiImageMixDataset(inner, [mosaic]))
        check_wrappers(MultiImageMixDataset(inner, [dict(mosaic, seg_pad_val=IGNORE)]))
    check_wrappers(RepeatDataset(dataset, 2))
