import cv2
import numpy as np
import pytest
from data_trees import (
    save_grey_label,
    save_label,
    save_palette_label,
    save_picture,
    save_turned,
)
from mmseg.registry import TRANSFORMS
from PIL import Image, ImageOps

from mmseg_dcpclip.datasets import LoadWideAnnotations
from mmseg_dcpclip.datasets.labels import (
    _stored_values,
    check_ignore_index,
    check_label_ids,
    decode_label,
    write_label,
)
from mmseg_dcpclip.datasets.loading import reduce_zero
from mmseg_dcpclip.files import TEMPORARY, write_atomic

WIDE = np.array([[0, 255, 256], [458, 846, 65535]])


def test_16_bit_labels_are_kept(tmp_path):
    path = str(tmp_path / 'a.png')
    write_label(path, WIDE, wide=True)
    results = LoadWideAnnotations()(dict(seg_map_path=path, seg_fields=[]))
    assert results['gt_seg_map'].dtype == np.int32
    assert results['gt_seg_map'].tolist() == WIDE.tolist()
    assert results['seg_fields'] == ['gt_seg_map']
    # What the stock loader makes of the same file.
    stock = TRANSFORMS.build(dict(type='LoadAnnotations'))(
        dict(seg_map_path=path, seg_fields=[], reduce_zero_label=False))
    assert stock['gt_seg_map'].tolist() == (WIDE % 256).tolist()


def test_8_bit_and_palette_labels(tmp_path):
    label = np.array([[0, 1, 20], [7, 254, 255]], dtype=np.uint8)
    save_label(tmp_path / 'grey.png', label)
    save_palette_label(tmp_path / 'palette.png', label)
    for name in ('grey.png', 'palette.png'):
        path = tmp_path / name
        loaded = decode_label(path.read_bytes(), str(path))
        assert loaded.tolist() == label.tolist(), name


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_greys_of_few_bits_keep_their_values(tmp_path, bits):
    label = np.arange(2 ** bits).reshape(2, -1)
    path = tmp_path / 'grey.png'
    save_grey_label(path, label, bits)
    assert decode_label(path.read_bytes(), str(path)).tolist() == label.tolist()
    # What Pillow makes of the same file.
    spread = np.array(Image.open(path)).astype(int) != label
    assert spread.any() == (bits in (2, 4))
    if bits < 8:
        Image.fromarray(label.astype(np.uint8)).convert('P').save(path, bits=bits)
        assert decode_label(path.read_bytes(), str(path)).tolist() == label.tolist()


@pytest.mark.parametrize('loaded, mode, rawmode, stored', [
    ([0, 85, 170, 255], 'L', 'L;2', [0, 1, 2, 3]),
    ([255, 170, 85, 0], 'L', 'L;2I', [0, 1, 2, 3]), ([0, 255], 'L', 'L;4I', [15, 0]),
    ([0, 1], '1', '1;I', [1, 0]), ([0, 7], 'L', 'L;I', [255, 248]),
    ([0, 7], 'P', 'P;4', [0, 7]), ([0, 300], 'I;16', 'I;16B', [0, 300])])
def test_stored_values(loaded, mode, rawmode, stored):
    assert _stored_values(np.array(loaded), mode, rawmode).tolist() == stored


def test_a_jpeg_is_no_label(tmp_path):
    path = tmp_path / 'a.jpg'
    save_label(path, np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r'a\.jpg is a JPEG.*PNGs'):
        decode_label(path.read_bytes(), str(path))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_labels_turn_as_pictures_do(tmp_path, orientation):
    label = np.arange(600, dtype=np.uint16).reshape(20, 30)
    path = tmp_path / 'a.png'
    save_turned(path, Image.fromarray(label), orientation)
    expected = ImageOps.exif_transpose(Image.open(path))
    assert decode_label(path.read_bytes(), str(path)).tolist() == np.array(
        expected).tolist()


def test_nothing_without_a_label_path():
    results = dict(img=np.zeros((2, 2, 3)))
    assert LoadWideAnnotations()(results) is results and list(results) == ['img']
    assert 'gt_seg_map' not in LoadWideAnnotations()(dict(seg_map_path=None))


@pytest.mark.parametrize('ignore_index, raw, expected', [
    (255, [0, 1, 150, 255], [255, 0, 149, 255]),
    # With wide labels 255 and 254 are raw values of classes like any other.
    (65535, [0, 1, 255, 256, 847, 65535], [65535, 0, 254, 255, 846, 65535]),
])
def test_reduce_zero_label(tmp_path, ignore_index, raw, expected):
    path = str(tmp_path / 'a.png')
    write_label(path, np.array([raw]), wide=ignore_index > 255)
    results = LoadWideAnnotations()(dict(
        seg_map_path=path, reduce_zero_label=True, ignore_index=ignore_index))
    assert results['gt_seg_map'].tolist() == [expected]
    label = np.array([raw], dtype=np.int32)
    assert reduce_zero(label, ignore_index).dtype == np.int32
    assert label.tolist() == [raw]  # the input is not changed


def test_label_map_of_stock_datasets(tmp_path):
    path = str(tmp_path / 'a.png')
    write_label(path, np.array([[0, 1, 2, 255]]), wide=False)
    results = LoadWideAnnotations()(dict(
        seg_map_path=path, label_map={0: 1, 1: 0, 2: 255}))
    assert results['gt_seg_map'].tolist() == [[1, 0, 255, 255]]


def test_geometry_keeps_wide_ids(tmp_path):
    """Resize, crop and flip of mmseg and mmcv work on int32 labels."""
    label = np.repeat(np.repeat(WIDE, 8, 0), 8, 1)
    save_picture(tmp_path / 'a.png', label.shape, np.random.default_rng(0))
    write_label(tmp_path / 'b.png', label, wide=True)
    results = dict(img_path=str(tmp_path / 'a.png'), reduce_zero_label=False,
                   seg_map_path=str(tmp_path / 'b.png'), seg_fields=[])
    for step in (dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
                 dict(type='Resize', scale=(96, 64)),
                 dict(type='RandomCrop', crop_size=(60, 90)),
                 dict(type='RandomFlip', prob=1.0),
                 dict(type='PhotoMetricDistortion'), dict(type='PackSegInputs')):
        results = TRANSFORMS.build(step)(results)
    packed = results['data_samples'].gt_sem_seg.data
    assert packed.shape == (1, 60, 90)
    assert set(packed.unique().tolist()) == set(WIDE.ravel().tolist())


@pytest.mark.parametrize('make, message', [
    (lambda p: p.write_bytes(p.read_bytes()[:-30]), 'cannot decode .*broken or cut'),
    (lambda p: p.write_bytes(b''), 'cannot decode .*broken or cut'),
    (lambda p: p.write_bytes(b'no picture'), 'cannot decode .*broken or cut'),
    (lambda p: Image.new('RGB', (9, 5)).save(p), 'mode RGB.*one integer channel'),
])
def test_broken_labels(tmp_path, make, message):
    path = tmp_path / 'a.png'
    rng = np.random.default_rng(0)
    write_label(path, rng.integers(0, 65536, (50, 90)), wide=True)
    make(path)
    with pytest.raises(ValueError, match=message) as error:
        LoadWideAnnotations()(dict(seg_map_path=str(path)))
    assert str(path) in str(error.value)


def test_label_that_does_not_fit(tmp_path):
    path = str(tmp_path / 'a.png')
    write_label(path, np.array([[0, 3, 255]]), wide=False)
    with pytest.raises(ValueError, match=r'a\.png is \(1, 3\).*b\.jpg is \(2, 3\)'):
        LoadWideAnnotations()(dict(
            seg_map_path=path, img_path='b.jpg', ori_shape=(2, 3)))
    with pytest.raises(ValueError, match='label id 3 in .*vocabulary of 3 classes'):
        LoadWideAnnotations()(dict(seg_map_path=path, num_classes=3))
    # 255 is no ignore index of a wide dataset: an 8-bit preparation shows up.
    with pytest.raises(ValueError, match='label id 255 .*ignore index 65535'):
        LoadWideAnnotations()(dict(
            seg_map_path=path, num_classes=200, ignore_index=65535))


def test_checks():
    check_ignore_index(255, 255)
    check_ignore_index(65535, 847)
    check_ignore_index(-1, 847)
    with pytest.raises(ValueError, match='ignore_index=255 is a class id.*256'):
        check_ignore_index(255, 256)
    check_label_ids(np.array([[0, 2, 255]]), 3, 255, 'a.png')
    with pytest.raises(ValueError, match='label id -1, 3, 4, 5, 6, ... in a.png'):
        check_label_ids(np.array([[-1, 3, 4, 5, 6, 7]]), 3, 255, 'a.png')


def test_writing(tmp_path):
    with pytest.raises(ValueError, match='0..256 do not fit into the 8-bit'):
        write_label(tmp_path / 'a.png', np.array([[256]]), wide=False)
    with pytest.raises(ValueError, match='-1..0 do not fit into the 16-bit'):
        write_label(tmp_path / 'a.png', np.array([[-1]]), wide=True)
    assert list(tmp_path.iterdir()) == []
    write_atomic(tmp_path / 'b', b'old')
    with pytest.raises(TypeError):
        write_atomic(tmp_path / 'b', 'no bytes')
    # A failed write leaves the old file and nothing else.
    assert (tmp_path / 'b').read_bytes() == b'old'
    assert not list(tmp_path.glob(f'*{TEMPORARY}'))
    write_label(tmp_path / 'c.png', WIDE, wide=True)
    assert cv2.imread(str(tmp_path / 'c.png'), -1).tolist() == WIDE.tolist()
