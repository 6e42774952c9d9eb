"""Miniature dataset trees in the layouts and file formats of the downloads.

Every function fills ``root`` and returns it. Pictures are noise; labels are drawn
from a fixed seed and hold the values that go wrong most easily.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from mmseg_dcpclip.preparation import FileJob, convert_png, remap_table
from mmseg_dcpclip.vocabulary import pascal_context_val_ids, read_label_set

VOC_COLORS = [(37 * i % 256, 91 * i % 256, 153 * i % 256) for i in range(256)]


def save_picture(path: Path, size: tuple[int, int], rng: np.random.Generator) -> None:
    """Save a noise picture of size (rows, columns)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def save_label(path: Path, label: np.ndarray) -> None:
    """Save a label map: 8 bits, or 16 bits if its dtype is uint16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(label).save(path)


def save_grey_label(path: Path, label: np.ndarray, bits: int) -> None:
    """Save a label map as grey PNG of 1, 2, 4 or 8 bits, which Pillow cannot write."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return (struct.pack('>I', len(data)) + name + data
                + struct.pack('>I', zlib.crc32(name + data)))

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = label.shape
    places = np.arange(bits)[::-1]
    rows = np.packbits((label[..., None] >> places & 1).astype(np.uint8).reshape(
        height, -1), axis=1)
    rows = np.pad(rows, ((0, 0), (1, 0)))  # no filter
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, 0, 0, 0, 0))
        + chunk(b'IDAT', zlib.compress(rows.tobytes())) + chunk(b'IEND', b''))


def save_turned(path: Path, image: Image.Image, orientation: int, **options) -> None:
    """Save a picture with an orientation, as a camera does."""
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, **options)


def save_palette_label(path: Path, label: np.ndarray) -> None:
    """Save a label map as palette PNG, as VOC does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label.astype(np.uint8), mode='P')
    image.putpalette([channel for color in VOC_COLORS for channel in color])
    image.save(path)


def blocks(values: list[int], size: tuple[int, int]) -> np.ndarray:
    """Vertical stripes of the given values: int64, shape ``size``."""
    columns = np.arange(size[1]) * len(values) // size[1]
    return np.broadcast_to(np.array(values)[columns], size).copy()


def make_coco_stuff_tree(root: Path,
                         num_train: int = 4,
                         num_val: int = 2,
                         size: tuple[int, int] = (48, 64),
                         convert: bool = True,
                         raw_folder: str = 'stuffthingmaps_trainval2017') -> Path:
    """COCO-Stuff: pictures, raw label PNGs and, if wanted, converted ones.

    Raw labels hold classes, the unused ids 11 and 90, and 255.

    Args:
        root: Becomes the ``data_root`` of the dataset config.
        num_train: Number of train images.
        num_val: Number of val images.
        size: Rows and columns.
        convert: Also write ``annotations/*/*_labelTrainIds.png``.
        raw_folder: Folder of the raw labels.

    Returns:
        Path: ``root``.
    """
    root = Path(root)
    rng = np.random.default_rng(0)
    source_ids = read_label_set('coco_stuff_171')['source_ids']
    table = remap_table(source_ids, 256, 255)
    for split, count in (('train2017', num_train), ('val2017', num_val)):
        for i in range(count):
            stem = f'{1 + i:012d}'
            save_picture(root / 'images' / split / f'{stem}.jpg', size, rng)
            values = [*rng.choice(source_ids, 3, replace=False), 11, 90, 181, 255]
            raw = root / raw_folder / split / f'{stem}.png'
            save_label(raw, blocks(values, size).astype(np.uint8))
            if convert:
                target = root / 'annotations' / split / f'{stem}_labelTrainIds.png'
                target.parent.mkdir(parents=True, exist_ok=True)
                convert_png(FileJob(raw, (target, )), table)
    return root


def make_ade20k_150_tree(root: Path, num_val: int = 2,
                         size: tuple[int, int] = (32, 45)) -> Path:
    """ADEChallengeData2016: labels 0..150."""
    root = Path(root)
    rng = np.random.default_rng(1)
    for i in range(num_val):
        stem = f'ADE_val_{1 + i:08d}'
        save_picture(root / f'images/validation/{stem}.jpg', size, rng)
        label = blocks([0, 1, 2 + i, 149, 150], size).astype(np.uint8)
        save_label(root / f'annotations/validation/{stem}.png', label)
    return root


def encode_ade20k(ids: np.ndarray) -> np.ndarray:
    """Colours of ``*_seg.png``: index in R and G, an instance number in B."""
    red = ids // 256 * 10 + np.arange(ids.shape[1]) % 10
    return np.stack([red, ids % 256, np.full_like(ids, 77)], -1).astype(np.uint8)


def make_ade20k_full_tree(root: Path, sizes=((48, 64), (600, 520))) -> Path:
    """ADE20K_2021_17_01 with one val picture per size, one folder each.

    The labels are the classes of the train ids 0, 255, 256, 846 and 458, then an
    index without a class and unlabelled pixels.
    """
    root = Path(root)
    rng = np.random.default_rng(2)
    source_ids = read_label_set('ade20k_847')['source_ids']
    unused = next(i for i in range(1, 3156) if i not in source_ids)
    values = [source_ids[i] for i in (0, 255, 256, 846, 458)] + [unused, 0]
    for i, size in enumerate(sizes):
        folder = root / f'images/ADE/validation/urban/street_{i}'
        stem = f'ADE_val_{1 + i:08d}'
        save_picture(folder / f'{stem}.jpg', size, rng)
        save_label(folder / f'{stem}_seg.png', encode_ade20k(blocks(values, size)))
        # What lies beside them in the download and is no class label.
        save_label(folder / f'{stem}_parts_1.png',
                   np.zeros((*size, 3), dtype=np.uint8))
        save_label(folder / stem / 'instance_000.png', np.zeros(size, dtype=np.uint8))
    return root


def make_pascal_context_tree(root: Path, num_val: int = 2,
                             size: tuple[int, int] = (40, 50)) -> Path:
    """VOC2010 with LabelMaps in trainval/*.mat, and one train image to leave out.

    The LabelMaps hold 0, 1, 2, 9, 256, 257, 458 and 459 (of which 2 and 9 are
    among the 59 classes).
    """
    root = Path(root)
    rng = np.random.default_rng(3)
    (root / 'trainval').mkdir(parents=True, exist_ok=True)
    for image_id in [*pascal_context_val_ids()[:num_val], '2008_000008']:
        save_picture(root / f'JPEGImages/{image_id}.jpg', size, rng)
        label = blocks([0, 1, 2, 9, 256, 257, 458, 459], size).astype(np.uint16)
        savemat(root / f'trainval/{image_id}.mat', {'LabelMap': label},
                do_compression=True)
    return root


def make_voc_tree(root: Path, num_val: int = 2,
                  size: tuple[int, int] = (30, 40)) -> Path:
    """VOC2012 with palette PNGs: background 0, classes 1..20, borders 255.

    ``SegmentationClass`` and ``SegmentationClassAug`` hold the same.
    """
    root = Path(root)
    rng = np.random.default_rng(4)
    ids = [f'2007_{i:06d}' for i in range(1, 1 + num_val)]
    for image_id in ids:
        save_picture(root / f'JPEGImages/{image_id}.jpg', size, rng)
        for folder in ('SegmentationClass', 'SegmentationClassAug'):
            save_palette_label(root / folder / f'{image_id}.png',
                               blocks([0, 1, 255, 20, 12], size))
    split = root / 'ImageSets/Segmentation/val.txt'
    split.parent.mkdir(parents=True)
    split.write_text(''.join(f'{image_id}\n' for image_id in ids))
    return root


def make_cityscapes_tree(root: Path, num_val: int = 2,
                         size: tuple[int, int] = (32, 72)) -> Path:
    """Cityscapes as unpacked: val pictures and labels of two towns, 0..33.

    The labels hold road (7), wall (12), three ids without a class (0, 6, 29) and
    bicycle (33).
    """
    root = Path(root)
    rng = np.random.default_rng(6)
    for i in range(num_val):
        town = ('lindau', 'munster')[i % 2]
        stem = f'{town}_{i:06d}_000019'
        save_picture(root / f'leftImg8bit/val/{town}/{stem}_leftImg8bit.png', size, rng)
        label = blocks([7, 12, 0, 6, 29, 33], size).astype(np.uint8)
        folder = root / f'gtFine/val/{town}'
        save_label(folder / f'{stem}_gtFine_labelIds.png', label)
        # What lies beside them in the download and is no class label.
        save_label(folder / f'{stem}_gtFine_instanceIds.png', label.astype(np.uint16))
    return root


def make_own_tree(root: Path, names=('cat', 'dog|puppy', 'café'), num_train: int = 2,
                  num_val: int = 2, size: tuple[int, int] = (32, 40)) -> Path:
    """A folder of pictures and label PNGs with a text file of class names.

    With more than 255 names the labels have 16 bits and 65535 for ignore.
    """
    root = Path(root)
    rng = np.random.default_rng(5)
    wide = len(names) > 255
    values = [0, len(names) - 1, 65535 if wide else 255]
    for split, count in (('train', num_train), ('val', num_val)):
        for i in range(count):
            save_picture(root / f'images/{split}/{i}.jpg', size, rng)
            label = blocks(values, size).astype(np.uint16 if wide else np.uint8)
            save_label(root / f'labels/{split}/{i}.png', label)
    text = ''.join(f'{name}\n' for name in names)
    (root / 'classes.txt').write_text(text, encoding='utf-8')
    return root
