"""Folders as they lie around."""

import logging

import numpy as np
import pytest
from data_trees import make_own_tree, save_label, save_picture
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mmseg_dcpclip.datasets import MissingDataError, TextVocabDataset
from mmseg_dcpclip.engine import apply_variables
from mmseg_dcpclip.shipped import config_path

RNG = np.random.default_rng(0)


def own(root, **kwargs):
    settings = dict(vocabulary='classes.txt', data_root=str(root), data_prefix=dict(
        img_path='images/train', seg_map_path='labels/train'))
    return TextVocabDataset(**(settings | kwargs))


def names(dataset):
    return [dataset.get_data_info(i)['img_path'].split('/train/')[1]
            for i in range(len(dataset))]


@pytest.fixture
def tree(tmp_path):
    """Pictures of several kinds, with labels."""
    root = make_own_tree(tmp_path / 'own', num_train=2)
    for name in ('a.JPG', 'b.jpeg', 'c.png', 'deep/d.TIF'):
        save_picture(root / f'images/train/{name}', (8, 8), RNG)
        save_label(root / f'labels/train/{name.rpartition(".")[0]}.png',
                   np.zeros((8, 8), np.uint8))
    return root


def test_all_kinds_of_pictures_are_found(tree):
    assert names(own(tree)) == ['0.jpg', '1.jpg', 'a.JPG', 'b.jpeg', 'c.png',
                                'deep/d.TIF']
    (tree / 'train.txt').write_text('a\nc.png\n\n0\ndeep/d\n')
    assert names(own(tree, ann_file='train.txt')) == ['a.JPG', 'c.png', '0.jpg',
                                                      'deep/d.TIF']
    (tree / 'train.txt').write_text('a\nnowhere\n')
    with pytest.raises(MissingDataError, match=r'nowhere\.jpg; 1 of 2 images'):
        own(tree, ann_file='train.txt')


def test_what_is_left_out_is_told(tree, caplog):
    from mmengine.logging import MMLogger
    logger = MMLogger.get_instance('left_out')
    logger.addHandler(caplog.handler)
    assert names(own(tree, img_suffix='.jpg')) == ['0.jpg', '1.jpg']
    assert 'images/train: 4 files are left out (1 .' in caplog.text
    assert caplog.records[0].levelno == logging.WARNING
    (tree / 'images/train/e.gif').write_bytes(b'')
    (tree / 'images/train/.hidden').write_bytes(b'')
    own(tree)
    assert '1 files are left out (1 .gif)' in caplog.text


def test_two_pictures_with_one_label(tree):
    save_picture(tree / 'images/train/0.png', (8, 8), RNG)
    with pytest.raises(ValueError, match=r'train/0\.jpg and 0\.png .*the same label'):
        own(tree)
    assert len(own(tree, img_suffix='.jpg')) == 2


def test_labels_inside_of_the_pictures_folder(tree):
    (tree / 'labels/train').rename(tree / 'images/train/labels')
    dataset = own(tree, data_prefix=dict(img_path='images/train',
                                         seg_map_path='images/train/labels'))
    assert len(dataset) == 6


def test_masks_of_two_classes(tmp_path):
    root = make_own_tree(tmp_path / 'own', names=('rest', 'crack'), num_train=40)
    assert len(own(root)) == 40
    for path in (root / 'labels/train').iterdir():
        save_label(path, np.array([[0, 255]] * 32, np.uint8).repeat(20, 1))
    with pytest.raises(ValueError, match="only 0 and 255.*'crack'.*color_masks"):
        own(root)
    # One label that holds the class is enough, wherever it is.
    save_label(root / 'labels/train/7.png', np.ones((32, 40), np.uint8))
    assert len(own(root)) == 40


@pytest.mark.parametrize('content, message', [
    (b'', r'train/1\.jpg is an empty file; copy it again'),
    (b'no picture', r'train/1\.jpg cannot be used')])
@pytest.mark.parametrize('workers', [0, 1])
def test_a_bad_picture_is_named(tmp_path, content, message, workers):
    root = make_own_tree(tmp_path / 'own')
    (root / 'images/train/1.jpg').write_bytes(content)
    config = Config.fromfile(config_path('_base_/datasets/own_dataset'))
    config.data_root = str(root)
    apply_variables(config)
    config.train_dataloader.update(num_workers=workers)
    config.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=False)
    with pytest.raises(ValueError, match=message):
        list(Runner.build_dataloader(config.train_dataloader))


def test_colours_as_labels_name_the_converter(tree):
    Image.new('RGB', (40, 32)).save(tree / 'labels/train/0.png')
    dataset = own(tree, pipeline=[dict(type='LoadWideAnnotations')])
    with pytest.raises(ValueError, match=r'0\.png.*data convert color_masks'):
        dataset[0]


def test_labels_from_one_name_the_remedy(tree):
    save_label(tree / 'labels/train/0.png', np.array([[1, 2, 3]], np.uint8))
    dataset = own(tree, pipeline=[dict(type='LoadWideAnnotations')])
    with pytest.raises(ValueError, match=r'label id 3 .*reduce_zero_label=True'):
        dataset[0]


def test_no_labels(tree):
    prefix = dict(img_path='images/train', seg_map_path=None)
    dataset = own(tree, data_prefix=prefix)
    assert len(dataset) == 6 and 'seg_map_path' not in dataset.get_data_info(0)
