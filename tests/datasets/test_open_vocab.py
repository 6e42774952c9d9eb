import itertools

import cv2
import numpy as np
import pytest
import torch
from data_trees import make_own_tree, save_label, save_picture
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.datasets import COCOStuffDataset
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from toy_segmentor import RelabelSegmentor

import mmseg_dcpclip.evaluation  # noqa: F401  registers the metric
from mmseg_dcpclip.datasets import (
    ADE20K847Dataset,
    COCOStuff171Dataset,
    MissingDataError,
    PascalContext459Dataset,
    TextVocabDataset,
)
from mmseg_dcpclip.shipped import config_path
from mmseg_dcpclip.vocabulary import Vocabulary

WIDE_NAMES = [f'kind {i}' for i in range(847)]
RUN_NUMBER = itertools.count()


def own_dataset(root, split='val', **kwargs):
    settings = dict(
        vocabulary='classes.txt',
        data_root=str(root),
        data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'labels/{split}'))
    return TextVocabDataset(**(settings | kwargs))


def own_config(root, batch_size=1):
    config = Config.fromfile(config_path('_base_/datasets/own_dataset'))
    for split in ('train', 'val', 'test'):
        loader = config[f'{split}_dataloader']
        loader.update(num_workers=0, batch_size=batch_size)
        loader.dataset.data_root = str(root)
    return config


def make_runner(work_dir, model, **settings):
    return Runner(
        model=dict(type=RelabelSegmentor.__name__, **model), work_dir=str(work_dir),
        default_scope='mmseg', log_level='WARNING',
        experiment_name=f'own_{next(RUN_NUMBER)}', **settings)


def test_metainfo_comes_from_the_vocabulary():
    for cls, size in ((COCOStuff171Dataset, 171), (PascalContext459Dataset, 459),
                      (ADE20K847Dataset, 847)):
        dataset = cls(lazy_init=True)
        vocabulary = Vocabulary.load(cls.LABEL_SET)
        assert dataset.vocabulary == vocabulary and len(vocabulary) == size
        assert dataset.metainfo['classes'] == vocabulary.names
        assert dataset.metainfo['palette'] == vocabulary.palette
        assert dataset.metainfo['vocabulary_digest'] == vocabulary.digest
        assert dataset.ignore_index == (255 if size < 256 else 65535)
        assert dataset.label_map is None
    assert issubclass(COCOStuff171Dataset, COCOStuffDataset)


def test_other_wordings():
    dataset = PascalContext459Dataset(lazy_init=True, names='spaced')
    assert dataset.metainfo['classes'][2] == 'air conditioner'
    assert dataset.label_map is None
    dataset = ADE20K847Dataset(lazy_init=True, vocabulary=WIDE_NAMES)
    assert dataset.metainfo['classes'] == tuple(WIDE_NAMES)


def test_own_dataset_is_tested(tmp_path):
    root = make_own_tree(tmp_path / 'own', num_val=3)
    config = own_config(root, batch_size=2)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert dataset.vocabulary.synonyms == (('cat', ), ('dog', 'puppy'), ('café', ))
    assert len(dataset) == 3
    runner = make_runner(
        tmp_path / 'work', dict(replaced=[(2, 1)]),
        test_dataloader=config.test_dataloader,
        test_evaluator=config.test_evaluator, test_cfg=dict(type='TestLoop'))
    result = runner.test()
    # Classes 0 and 2 have labels; 2 was predicted as 1.
    assert result['mIoU'] == 50.0 and result['mIoU_union'] == 33.33
    # Of the names only 'cat' is in COCO-Stuff, and so is 'dog', which is absent.
    assert result['seen_mIoU'] == 100.0 and result['seen_mIoU_union'] == 50.0
    assert result['unseen_mIoU'] == 0.0


def test_own_dataset_is_trained(tmp_path):
    root = make_own_tree(tmp_path / 'own')
    config = own_config(root)
    runner = make_runner(
        tmp_path / 'work',
        dict(data_preprocessor=dict(type='SegDataPreProcessor', size=(384, 384))),
        train_dataloader=config.train_dataloader,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False,
                                           interval=2)))
    weight = runner.train().weight.item()
    # The loss is the mean label: 0, 2 and 255 over thirds of 384 x 384.
    assert weight < -10
    checkpoint = torch.load(tmp_path / 'work/iter_2.pth', weights_only=False)
    assert checkpoint['meta']['dataset_meta']['classes'] == ('cat', 'dog', 'café')


def test_own_dataset_with_wide_labels(tmp_path):
    root = make_own_tree(tmp_path / 'own', names=WIDE_NAMES)
    dataset = own_dataset(root, pipeline=[
        dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
        dict(type='PackSegInputs')])
    label = dataset[0]['data_samples'].gt_sem_seg.data
    assert label.unique().tolist() == [0, 846, 65535]
    with pytest.raises(ValueError, match='ignore_index=255 is a class id'):
        own_dataset(root, ignore_index=255)
    with pytest.raises(ValueError, match='LoadAnnotations cuts ids to 8 bits.*'
                       'use LoadWideAnnotations'):
        own_dataset(root, pipeline=[dict(type='LoadAnnotations')])


def test_own_dataset_with_classes_from_one(tmp_path):
    root = make_own_tree(tmp_path / 'own')
    label = np.array([[0, 1, 3, 255]], dtype=np.uint8)
    save_label(root / 'labels/val/0.png', label)
    dataset = own_dataset(root, reduce_zero_label=True,
                          pipeline=[dict(type='LoadWideAnnotations')])
    assert dataset[0]['gt_seg_map'].tolist() == [[255, 0, 2, 255]]


def test_class_lists(tmp_path):
    root = make_own_tree(tmp_path / 'own')
    assert len(own_dataset(root, vocabulary=['a', 'b', 'c'])) == 2
    absolute = own_dataset(root, vocabulary=str(root / 'classes.txt'))
    assert absolute.vocabulary.names == ('cat', 'dog', 'café')
    (root / 'classes.txt').write_text('cat\n\ndog\n')
    with pytest.raises(ValueError, match=r'classes\.txt: entry 1 .*blank name'):
        own_dataset(root)
    (root / 'classes.txt').write_text('cat\ncat\n')
    with pytest.raises(ValueError, match='entry 1 repeats entry 0'):
        own_dataset(root)
    with pytest.raises(ValueError, match='not in `metainfo`'):
        own_dataset(root, metainfo=dict(classes=['a']))
    vocabulary = Vocabulary(['a|b', 'c', 'd'])
    assert own_dataset(root, vocabulary=vocabulary).vocabulary is vocabulary
    with pytest.raises(ValueError, match='empty vocabulary'):
        own_dataset(root, vocabulary=[])
    with pytest.raises(ValueError, match='give the classes'):
        own_dataset(root, vocabulary=None)
    with pytest.raises(FileNotFoundError, match='no class file'):
        own_dataset(root, vocabulary='names.txt')


def test_too_few_classes(tmp_path):
    root = make_own_tree(tmp_path / 'own')  # the labels hold 0, 2 and 255
    dataset = own_dataset(root, vocabulary=['a', 'b'],
                          pipeline=[dict(type='LoadWideAnnotations')])
    with pytest.raises(ValueError, match=r'label id 2 in .*0\.png is outside'):
        dataset[0]


def test_missing_files(tmp_path):
    root = make_own_tree(tmp_path / 'own', num_val=3)
    with pytest.raises(MissingDataError, match='images/test.*data check') as error:
        own_dataset(root, split='test')
    assert error.value.path == str(root / 'images/test')
    with pytest.raises(MissingDataError, match=r'\*\.jpeg.*img_suffix'):
        own_dataset(root, img_suffix='.jpeg')
    with pytest.raises(MissingDataError, match='val.txt'):
        own_dataset(root, ann_file='val.txt')
    (root / 'val.txt').write_text('0\n7\n')
    with pytest.raises(MissingDataError, match=r'images/val/7\.jpg; 1 of 2 images'):
        own_dataset(root, ann_file='val.txt')

    (root / 'labels/val/1.png').unlink()
    with pytest.raises(MissingDataError, match=r'labels/val/1\.png; 1 of 3 images have'
                       ' no label'):
        own_dataset(root)
    assert len(own_dataset(root, skip_unlabelled=True)) == 2
    for path in (root / 'labels/val').iterdir():
        path.unlink()
    # With no label at all skipping would hide a wrong folder.
    with pytest.raises(MissingDataError, match='3 of 3'):
        own_dataset(root, skip_unlabelled=True)


def test_images_without_any_labels(tmp_path):
    """For writing predictions only: no label folder, no labels."""
    root = make_own_tree(tmp_path / 'own')
    dataset = own_dataset(
        root, data_prefix=dict(img_path='images/val'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
                  dict(type='PackSegInputs')])
    assert 'gt_sem_seg' not in dataset[0]['data_samples']


def test_nested_folders(tmp_path):
    root = tmp_path / 'own'
    rng = np.random.default_rng(0)
    for name in ('a/1', 'b/1'):
        save_picture(root / f'images/{name}.jpg', (4, 4), rng)
        save_label(root / f'labels/{name}.png', np.zeros((4, 4), np.uint8))
    prefix = dict(img_path='images', seg_map_path='labels')
    dataset = own_dataset(root, data_prefix=prefix, vocabulary=['x'])
    assert len(dataset) == 2
    (root / 'labels/b/1.png').unlink()
    with pytest.raises(MissingDataError, match=r'labels/b/1\.png'):
        own_dataset(root, data_prefix=prefix, vocabulary=['x'])


def test_drawing_of_ids_above_255(tmp_path):
    dataset = ADE20K847Dataset(lazy_init=True)
    visualizer = SegLocalVisualizer(alpha=1.0, save_dir=str(tmp_path))
    visualizer.dataset_meta = dataset.metainfo
    label = torch.tensor([255, 256, 458, 846, 65535]).repeat_interleave(8)
    sample = SegDataSample(pred_sem_seg=PixelData(data=label.expand(1, 8, 40)))
    out = tmp_path / 'drawn.png'
    visualizer.add_datasample('a', np.zeros((8, 40, 3), np.uint8), sample,
                              draw_gt=False, with_labels=False, out_file=str(out))
    drawn = cv2.imread(str(out))[0, ::8, ::-1].tolist()
    palette = Vocabulary.load('ade20k_847').palette
    assert drawn == [palette[255], palette[256], palette[458], palette[846],
                     [0, 0, 0]]

