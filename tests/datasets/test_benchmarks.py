"""From raw trees over the converters and the Runner to exact scores."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from data_trees import (
    blocks,
    make_ade20k_150_tree,
    make_ade20k_full_tree,
    make_cityscapes_tree,
    make_coco_stuff_tree,
    make_pascal_context_tree,
    make_voc_tree,
    save_label,
)
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from PIL import Image
from toy_segmentor import RelabelSegmentor

import mmseg_dcpclip.datasets  # noqa: F401  registers the datasets
import mmseg_dcpclip.evaluation  # noqa: F401  registers the metric
from mmseg_dcpclip.cli import main
from mmseg_dcpclip.shipped import config_path
from mmseg_dcpclip.vocabulary import LABEL_SETS, Vocabulary

RUN_NUMBER = itertools.count()


def base_config(name: str, root: Path) -> Config:
    config = Config.fromfile(config_path(f'_base_/datasets/{name}'))
    for split in ('train', 'val', 'test'):
        loader = config.get(f'{split}_dataloader')
        if loader is not None:
            loader.dataset.data_root = str(root)
            loader.num_workers = 0
    return config


def run_test(config: Config, work_dir: Path, batch_size=1, **model) -> dict:
    """Score a RelabelSegmentor on the config's test split."""
    config.test_dataloader.batch_size = batch_size
    runner = Runner(
        model=dict(type=RelabelSegmentor.__name__, **model),
        work_dir=str(work_dir),
        test_dataloader=config.test_dataloader,
        test_evaluator=config.test_evaluator,
        test_cfg=dict(type='TestLoop'),
        default_scope='mmseg',
        log_level='WARNING',
        # Distinct, as mmengine keeps one logger and visualizer per name.
        experiment_name=f'relabel_{next(RUN_NUMBER)}')
    return runner.test()


def test_coco_stuff(tmp_path):
    root = make_coco_stuff_tree(tmp_path / 'coco', convert=False)
    assert main(['data', 'convert', 'coco_stuff', str(root), '--workers', '1']) == 0
    config = base_config('coco_stuff_171', root)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert dataset.vocabulary == Vocabulary.load('coco_stuff_171')
    label = dataset[0]['data_samples'].gt_sem_seg.data
    # 181 is the last class; 11, 90 and 255 are no classes.
    raw = np.array(Image.open(next(
        (root / 'stuffthingmaps_trainval2017/val2017').glob('*1.png'))))
    assert (label[0].numpy()[raw == 181] == 170).all()
    assert (label[0].numpy()[np.isin(raw, (11, 90, 255))] == 255).all()
    assert (label[0].numpy()[~np.isin(raw, (11, 90, 255))] < 171).all()
    result = run_test(config, tmp_path / 'work')
    assert result['mIoU'] == result['seen_mIoU'] == 100.0
    # Every class of training is seen: nothing is unseen.
    assert np.isnan(result['unseen_mIoU'])
    # Class 170 is missed: 1 of the classes present scores 0.
    result = run_test(config, tmp_path / 'work', replaced=[(170, 160)])
    ids = np.unique(np.stack([d['data_samples'].gt_sem_seg.data for d in dataset]))
    present = len(set(ids.tolist()) - {255})
    assert 160 not in ids
    assert result['mIoU'] == round(100 * (present - 1) / present, 2)
    assert result['mIoU_union'] == round(100 * (present - 1) / (present + 1), 2)


def test_coco_stuff_training_pipeline(tmp_path):
    root = make_coco_stuff_tree(tmp_path / 'coco', num_train=2, num_val=1,
                                size=(60, 300))
    config = base_config('coco_stuff_171', root)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    sample = dataset[0]
    # The long side of 1333 wins over the short one of 384.
    assert sample['inputs'].shape == (3, 267, 384)
    label = sample['data_samples'].gt_sem_seg.data
    assert label.shape == (1, 267, 384)
    assert set(label.unique().tolist()) <= {*range(171), 255}
    root = make_coco_stuff_tree(tmp_path / 'b', num_train=1, num_val=1, size=(60, 90))
    config = base_config('coco_stuff_171', root)
    sample = DATASETS.build(config.train_dataloader.dataset)[0]
    assert sample['inputs'].shape == (3, 384, 384)


def test_ade20k_150(tmp_path):
    root = make_ade20k_150_tree(tmp_path / 'ade')
    config = base_config('ade20k_150', root)
    # The two images hold raw values 1, 2 or 3, 149 and 150, so 5 classes.
    result = run_test(config, tmp_path / 'work', batch_size=2)
    assert result['mIoU'] == result['mIoU_union'] == 100.0
    result = run_test(config, tmp_path / 'work', replaced=[(149, 100)])
    assert result['mIoU'] == 80.0  # 4 of 5 classes
    assert result['mIoU_union'] == 66.67  # 4 of 6: class 100 was predicted


def test_ade20k_847(tmp_path):
    raw = make_ade20k_full_tree(tmp_path / 'ADE20K_2021_17_01')
    out = tmp_path / 'ade20k_847'
    assert main(['data', 'convert', 'ade20k_847', str(raw), '--out', str(out),
                 '--workers', '1']) == 0
    for i, size in enumerate([(48, 64), (591, 512)]):
        label = Image.open(out / f'annotations/validation/ADE_val_{i + 1:08d}.png')
        image = Image.open(out / f'images/validation/ADE_val_{i + 1:08d}.jpg')
        assert label.mode == 'I;16'
        # 600 x 520 is reduced to the short side 512.
        assert image.size[::-1] == label.size[::-1] == size
        assert np.unique(label).tolist() == [0, 255, 256, 458, 846, 65535]
    # A picture that is small enough is copied as it is.
    name = 'ADE_val_00000001.jpg'
    copied = (out / 'images/validation' / name).read_bytes()
    assert copied == next(raw.rglob(name)).read_bytes()

    config = base_config('ade20k_847', out)
    wide = dict(ignore_index=65535)
    result = run_test(config, tmp_path / 'work', **wide)
    assert result['mIoU'] == result['mIoU_union'] == result['aAcc'] == 100.0
    # 846 as 78 and 256 as 0, as a cast to 8 bits would give; with 255 gone as well.
    result = run_test(config, tmp_path / 'work',
                      replaced=[(846, 78), (458, 202), (255, 1)], **wide)
    assert result['mIoU'] == 40.0  # 0 and 256 of five
    assert result['mIoU_union'] == 25.0  # of eight: 78, 202 and 1 were predicted


def test_pascal_context(tmp_path):
    root = make_pascal_context_tree(tmp_path / 'VOC2010')
    assert main(['data', 'convert', 'pascal_context', str(root),
                 '--workers', '1']) == 0
    wide = Image.open(root / 'annotations_pc459/2008_000002.png')
    assert wide.mode == 'I;16'
    assert np.unique(wide).tolist() == [0, 1, 8, 255, 256, 457, 458, 65535]
    narrow = Image.open(root / 'annotations_pc59/2008_000002.png')
    assert narrow.mode == 'L'
    # Raw 2 is aeroplane and 9 is bag; 459 and the rest are none of the 59.
    assert np.unique(narrow).tolist()[:2] == [0, 1] and np.array(narrow).max() == 255
    val = (root / 'ImageSets/PascalContext/val.txt').read_text().split()
    assert val == ['2008_000002', '2008_000003']

    config = base_config('pascal_context_459', root)
    wide = dict(ignore_index=65535)
    assert run_test(config, tmp_path / 'work', **wide)['mIoU'] == 100.0
    result = run_test(config, tmp_path / 'work', batch_size=2,
                      replaced=[(458, 202), (256, 457)], **wide)
    # Classes 0, 1, 8, 255, 256, 457, 458: 256 and 458 are lost, 457 is halved.
    assert result['mIoU'] == pytest.approx(100 * 4.5 / 7, abs=0.25)
    assert result['mIoU_union'] == pytest.approx(100 * 4.5 / 8, abs=0.25)

    config = base_config('pascal_context_59', root)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert len(dataset) == 2 and not dataset.reduce_zero_label
    assert run_test(config, tmp_path / 'work')['mIoU'] == 100.0


def test_pascal_voc_20(tmp_path):
    root = make_voc_tree(tmp_path / 'VOC2012')
    config = base_config('pascal_voc_20', root)
    sample = DATASETS.build(config.test_dataloader.dataset)[0]
    # Stripes of raw 0, 1, 255, 20 and 12: background and border are ignored.
    row = sample['data_samples'].gt_sem_seg.data[0, 0]
    assert row[::8].tolist() == [255, 0, 255, 19, 11]
    result = run_test(config, tmp_path / 'work', replaced=[(19, 4)])
    assert result['mIoU'] == 66.67 and result['mIoU_union'] == 50.0


def test_pascal_voc_21(tmp_path):
    config = base_config('pascal_voc_21', make_voc_tree(tmp_path / 'VOC2012'))
    sample = DATASETS.build(config.test_dataloader.dataset)[0]
    # Stripes of raw 0, 1, 255, 20 and 12: background is a class, the border is none.
    row = sample['data_samples'].gt_sem_seg.data[0, 0]
    assert row[::8].tolist() == [0, 1, 255, 20, 12]
    assert run_test(config, tmp_path / 'work')['mIoU'] == 100.0
    result = run_test(config, tmp_path / 'work', replaced=[(20, 0)])
    assert result['mIoU'] == 62.5  # background halved, class 20 lost, two right


def test_pascal_context_60(tmp_path):
    root = make_pascal_context_tree(tmp_path / 'VOC2010')
    assert main(['data', 'convert', 'pascal_context', str(root),
                 '--workers', '1']) == 0
    config = base_config('pascal_context_60', root)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    label = dataset[0]['data_samples'].gt_sem_seg.data[0].numpy()
    # 59 classes and, one higher, the same with background where those are ignored.
    narrow = np.array(Image.open(root / 'annotations_pc59/2008_000002.png')).astype(int)
    np.testing.assert_array_equal(label, np.where(narrow == 255, 0, narrow + 1))
    assert set(label.ravel()) >= {0, 1, 2}
    assert run_test(config, tmp_path / 'work')['mIoU'] == 100.0
    assert run_test(config, tmp_path / 'work', replaced=[(0, 1)])['mIoU'] < 70


def test_coco_object(tmp_path):
    root = make_coco_stuff_tree(tmp_path / 'coco', convert=False)
    raw_folder = root / 'stuffthingmaps_trainval2017/val2017'
    first, second = sorted(raw_folder.iterdir())
    raw = blocks([0, 12, 89, 11, 90, 91, 181, 255], (48, 64)).astype(np.uint8)
    save_label(first, raw)
    for dataset in ('coco_object', 'coco_stuff'):
        # once more: no converter takes what another wrote for raw labels
        for _ in range(2):
            assert main(['data', 'convert', dataset, str(root), '--workers', '1']) == 0
    written = sorted(path.name for path in (root / 'annotations/val2017').iterdir())
    assert written == [f'{path.stem}_{kind}TrainIds.png' for path in (first, second)
                       for kind in ('instance', 'label')]
    config = base_config('coco_object_81', root)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert len(dataset) == 2
    # person is 1, 12 stop sign, 89 toothbrush, the last; the rest background
    row = dataset[0]['data_samples'].gt_sem_seg.data[0, 0]
    assert row[::8].tolist() == [1, 12, 80, 0, 0, 0, 0, 0]
    assert dataset.vocabulary.names[12] == 'stop sign'
    assert run_test(config, tmp_path / 'work')['mIoU'] == 100.0


def test_cityscapes(tmp_path):
    root = make_cityscapes_tree(tmp_path / 'cityscapes')
    assert main(['data', 'convert', 'cityscapes', str(root), '--workers', '1']) == 0
    config = base_config('cityscapes_19', root)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert len(dataset) == 2
    row = dataset[1]['data_samples'].gt_sem_seg.data[0, 0]
    assert row[::12].tolist() == [0, 3, 255, 255, 255, 18]
    assert run_test(config, tmp_path / 'work')['mIoU'] == 100.0
    result = run_test(config, tmp_path / 'work', replaced=[(18, 3)])
    assert result['mIoU'] == 50.0


def test_label_sets_are_those_of_mmseg():
    for ours, names, theirs in (
            ('pascal_voc_21', 'default', 'PascalVOCDataset'),
            ('pascal_context_60', 'mmseg', 'PascalContextDataset'),
            ('cityscapes_19', 'default', 'CityscapesDataset')):
        assert Vocabulary.load(ours, names=names).names == \
            DATASETS.get(theirs).METAINFO['classes']
    things = DATASETS.get('COCOStuffDataset').METAINFO['classes'][:80]
    assert Vocabulary.load('coco_object_81').names == ('background', *things)


@pytest.mark.parametrize('name', LABEL_SETS)
def test_configs_agree_with_label_sets(name):
    config = Config.fromfile(config_path(f'_base_/datasets/{name}'))
    dataset_class = DATASETS.get(config.dataset_type)
    vocabulary = Vocabulary.load(name)
    assert dataset_class.LABEL_SET == name
    assert dataset_class.METAINFO == vocabulary.metainfo
    wide = len(vocabulary) > 255
    assert config.test_evaluator.ignore_index == (65535 if wide else 255)
    assert config.val_evaluator == config.test_evaluator
    types = [step['type'] for step in config.test_dataloader.dataset.pipeline]
    assert types == ['LoadImageFromFile', 'PictureAsSeen', 'Resize',
                     'LoadWideAnnotations', 'PackSegInputs']
