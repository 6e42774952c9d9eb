"""Draws label maps over their pictures, and lays them out on a sheet."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from ..vocabulary import Vocabulary

HEIGHT = 264  # of a picture in pixels
GAP = 8
SMALLEST = 0.01  # share of the picture; smaller regions get no name
FONT = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'


def font_of(size: int) -> ImageFont.FreeTypeFont:
    """The font of the sheets at a size in pixels."""
    return ImageFont.truetype(str(FONT), size)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Break a text between words into lines of a width in pixels."""
    lines = ['']
    for word in text.split():
        longer = f'{lines[-1]} {word}'.strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return '\n'.join(lines)


class NamingVisualizer(SegLocalVisualizer):
    """mmseg's visualizer with names that stay inside the picture.

    mmseg starts a name in the middle of its region, so that long ones run out.
    """

    def _draw_sem_seg(self, image: np.ndarray, sem_seg: PixelData, classes: list,
                      palette: list, with_labels: bool | None = True) -> np.ndarray:
        drawn = super()._draw_sem_seg(image, sem_seg, classes, palette, False)
        if with_labels:
            drawn = draw_names(drawn, np.asarray(sem_seg.cpu().data[0]), classes)
            self.set_image(drawn)
        return drawn


def draw_names(image: np.ndarray, seg_map: np.ndarray, classes: Sequence[str]
               ) -> np.ndarray:
    """Write names on regions, largest regions first, none over another.

    Args:
        image: RGB, uint8 [H, W, 3].
        seg_map: Category ids, [H, W].
        classes: Names.

    Returns:
        np.ndarray: uint8 [H, W, 3].
    """
    height, width = seg_map.shape
    sheet, font = Image.fromarray(image), font_of(11)
    taken: list[tuple[int, int, int, int]] = []
    draw = ImageDraw.Draw(sheet)
    ids, counts = np.unique(seg_map, return_counts=True)
    for i in ids[np.argsort(-counts, kind='stable')]:
        region = seg_map == i
        if i >= len(classes) or region.mean() < SMALLEST:
            continue
        text = wrap(classes[i], font, width // 2)
        x0, y0, x1, y1 = draw.multiline_textbbox((0, 0), text, font=font, spacing=1)
        box = _place(region, int(x1 - x0 + 6), int(y1 - y0 + 6))
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3]
               for b in taken):
            continue
        taken.append(box)
        draw.rectangle(box, fill='white', outline='black')
        draw.multiline_text((box[0] + 3 - x0, box[1] + 3 - y0), text,
                            fill='black', font=font, spacing=1)
    return np.array(sheet)


def _place(region: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a box around a region's innermost pixel.

    Args:
        region: bool [H, W].
        width: Of the box, in pixels.
        height: Of the box.
    """
    # Padded: the edge of the picture is one of the region.
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    rows, columns = region.shape
    left = min(max(int(x) - width // 2, 0), max(0, columns - width - 1))
    top = min(max(int(y) - height // 2, 0), max(0, rows - height - 1))
    return left, top, left + width, top + height


def draw_map(picture: np.ndarray, seg_map: np.ndarray, words: Vocabulary
             ) -> Image.Image:
    """A label map over its picture, at the height of the sheet.

    Args:
        picture: RGB, uint8 [H, W, 3].
        seg_map: Category ids, [H, W].
        words: Names and colours.
    """
    size = fitting(picture)
    # 32 bits: ids above 255 stay what they are.
    labels = np.array(Image.fromarray(seg_map.astype(np.int32)).resize(
        size, Image.Resampling.NEAREST))
    sample = SegDataSample(pred_sem_seg=PixelData(
        data=torch.from_numpy(labels.astype(np.int64))[None]))
    visualizer = NamingVisualizer('contact_sheet', alpha=0.7)
    # Not given above: some versions of mmseg mix the two up there.
    visualizer.dataset_meta = dict(classes=words.names, palette=words.palette)
    visualizer.add_datasample('map', np.array(enlarged(picture)), sample, draw_gt=False)
    return Image.fromarray(visualizer.get_image())


def fitting(picture: np.ndarray) -> tuple[int, int]:
    """Width and height of a picture [H, W, 3] on the sheet."""
    height, width = picture.shape[:2]
    return max(1, round(width * HEIGHT / height)), HEIGHT


def enlarged(picture: np.ndarray) -> Image.Image:
    """A picture, RGB uint8 [H, W, 3], at the height of the sheet."""
    return Image.fromarray(picture).resize(fitting(picture), Image.Resampling.NEAREST)


def make_sheet(headings: Sequence[str], rows: Sequence[tuple[str, list[Image.Image]]]
               ) -> Image.Image:
    """Lay out pictures with headings above and captions in front.

    Args:
        headings: One per column.
        rows: Caption and pictures of each row.
    """
    widths = [max(row[1][i].width for row in rows) for i in range(len(headings))]
    small, large = font_of(12), font_of(15)
    heads = [wrap(text, large, width) for text, width in zip(headings, widths)]
    captions = [wrap(text, small, 120) for text, _ in rows]
    measure = ImageDraw.Draw(Image.new('RGB', (1, 1)))
    top = int(max(measure.multiline_textbbox((0, 0), head, font=large)[3]
                  for head in heads)) + 2 * GAP
    left = int(max(measure.multiline_textbbox((0, 0), caption, font=small)[2]
                   for caption in captions)) + 2 * GAP
    sheet = Image.new('RGB', (left + sum(widths) + GAP * len(widths),
                              top + len(rows) * (HEIGHT + GAP)), 'white')
    draw = ImageDraw.Draw(sheet)
    x = left
    for head, width in zip(heads, widths):
        draw.multiline_text((x + width / 2, top - GAP), head, fill='black', font=large,
                            anchor='md', align='center')
        x += width + GAP
    for i, (caption, (_, pictures)) in enumerate(zip(captions, rows)):
        x, y = left, top + i * (HEIGHT + GAP)
        draw.multiline_text((GAP, y + HEIGHT / 2), caption, fill='black', font=small,
                            anchor='lm')
        for picture, width in zip(pictures, widths):
            sheet.paste(picture, (x + (width - picture.width) // 2, y))
            x += width + GAP
    return sheet
