"""ADE20K-847 from the full ADE20K: 16-bit labels with the train ids 0..846 and 65535.

``dcpclip data convert ade20k_847 --help`` shows the folders.
"""

import io
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.labels import WIDE_IGNORE, write_label
from ..datasets.pictures import decode_picture, orientation_of, picture_size, turn
from ..files import write_atomic
from ..vocabulary import read_label_set
from .conversion import Conversion, FileJob, convert_all, remap, remap_table

RAW_FOLDER = 'images/ADE/validation'
IMAGES, LABELS = 'images/validation', 'annotations/validation'
# R // 10 is at most 25, G at most 255.
NUM_VALUES = 26 * 256


def read_ade20k_ids(path: Path) -> np.ndarray:
    """Read the class indices of ADE20K full from a ``*_seg.png``.

    The index is R // 10 * 256 + G.

    Args:
        path: The colour-coded PNG.

    Returns:
        np.ndarray: int32 [H, W], 0 for unlabelled pixels.

    Raises:
        ValueError: It cannot be decoded or is no RGB image.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        with Image.open(content) as image:
            colors = np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'cannot decode {path} ({error}); copy or unpack it '
                         'again') from error
    if colors.ndim != 3 or colors.shape[2] < 3:
        raise ValueError(f'{path} is no RGB image; is this ADE20K_2021_17_01?')
    return colors[..., 0].astype(np.int32) // 10 * 256 + colors[..., 1]


def short_side_512(height: int, width: int) -> tuple[int, int]:
    """Size (rows, columns) in pixels after reducing the short side to at most 512."""
    scale = min(1.0, 512 / min(height, width))
    return round(height * scale), round(width * scale)


def convert_picture(job: FileJob, table: np.ndarray) -> None:
    """Convert one picture (.jpg) of ADE20K full and its ``*_seg.png``.

    A picture that carries an orientation keeps it, and its label is turned likewise.
    Where the short side is over 512 the picture (bilinear) and the label (nearest)
    are reduced to it, and are scored at that size.

    Args:
        job: The picture, and as targets the new picture and the new 16-bit label.
        table: As of ``remap_table``.

    Raises:
        ValueError: The label is bad, or of another size than the picture.
    """
    seg_path = job.source.with_name(f'{job.source.stem}_seg.png')
    label = remap(read_ade20k_ids(seg_path), table, seg_path)
    content, shown = job.source.read_bytes(), picture_size(job.source)
    with Image.open(io.BytesIO(content)) as image:
        stored = image.size[::-1]
        if stored == label.shape:
            # Labels were drawn on pictures as they are stored; a loader turns these.
            label = turn(label, orientation_of(image))
    if shown != label.shape:
        raise ValueError(f'{job.source} is {stored}, its label {label.shape} (rows, '
                         'columns); unpack them again')
    size = short_side_512(*shown)
    if size != shown:
        smaller = io.BytesIO()
        picture = Image.fromarray(decode_picture(content, job.source))
        picture.resize(size[::-1], Image.Resampling.BILINEAR).save(
            smaller, format='JPEG', quality=95)
        content = smaller.getvalue()
        label = np.array(
            Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
    write_atomic(job.targets[0], content)
    write_label(job.targets[1], label, wide=True)


def make_jobs(raw: Path, out: Path) -> list[FileJob]:
    """List the raw pictures and what they become.

    Args:
        raw: The folder ADE20K_2021_17_01.
        out: Folder of the new dataset.

    Returns:
        list[FileJob]: One job per picture.

    Raises:
        FileNotFoundError: No picture is found below ``raw``.
    """
    sources = sorted((raw / RAW_FOLDER).rglob('*.jpg'))
    if not sources:
        raise FileNotFoundError(
            f'no *.jpg under {raw / RAW_FOLDER}; give the folder '
            'ADE20K_2021_17_01 of the full ADE20K download')
    return [
        FileJob(path, (out / IMAGES / path.name, out / LABELS / f'{path.stem}.png'))
        for path in sources
    ]


def convert(raw: Path, out: Path, workers: int | None = None) -> list[Conversion]:
    """Convert the val split.

    Args:
        raw: The folder ADE20K_2021_17_01.
        out: Folder of the new dataset.
        workers: Number of processes. None: one per core.

    Returns:
        list[Conversion]: The one of val.

    Raises:
        FileNotFoundError: No picture is found below ``raw``.
    """
    source_ids = read_label_set('ade20k_847')['source_ids']
    table = remap_table(source_ids, NUM_VALUES, WIDE_IGNORE)
    return [
        convert_all(partial(convert_picture, table=table), make_jobs(raw, out),
                    workers, 'ade20k_847 val')
    ]
