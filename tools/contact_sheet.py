#!/usr/bin/env python
"""Contact sheets of predictions, drawn through mmseg's visualizer.

    python tools/contact_sheet.py fig6 --seed 0
    python tools/contact_sheet.py tv --world real --benchmark ade20k_150
    python tools/contact_sheet.py fig6 --model "frozen=configs/a.py:none" \\
        --model "tuned=configs/b.py:work_dirs/b/iter_1000.pth"

fig6: image, ground truth, baseline, + DCS, + TGA, + SED, + TV, of pictures with unseen
categories. fig7: image, ground truth and the whole model on four benchmarks. tv: with
and without tag validation, pictures where it changes most. The weights are those of
tools/reproduce.py (table3), unless models are given.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis import load_image
from mmseg_dcpclip.datasets.open_vocab import MissingDataError
from mmseg_dcpclip.engine.hooks.vocabulary_hook import dataset_vocabulary
from mmseg_dcpclip.evaluation import tables
from mmseg_dcpclip.evaluation.benchmarks import collect_benchmarks

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
COLUMNS = dict(
    fig6={'baseline': 'baseline', '+ DCS': 'dcs', '+ TGA': 'dcs_tga',
          '+ SED': 'dcs_tga_sed', '+ TV': tables.FULL},
    fig7={'DCP-CLIP': tables.FULL},
    tv={'without TV': 'dcs_tga_sed', 'with TV': tables.FULL})
FIG7 = (1, 2, 3, 4)  # benchmarks of the paper's figure: PC-459, A-150, PC-59, PAS-20
HEIGHT = 264  # of a picture in pixels
GAP = 8
SMALLEST = 0.01  # share of the picture; smaller regions get no name
FONT = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'


def font_of(size: int) -> ImageFont.FreeTypeFont:
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
    sheet, font, taken = Image.fromarray(image), font_of(11), []
    draw = ImageDraw.Draw(sheet)
    ids, counts = np.unique(seg_map, return_counts=True)
    for i in ids[np.argsort(-counts, kind='stable')]:
        region = seg_map == i
        if i >= len(classes) or region.mean() < SMALLEST:
            continue
        text = wrap(classes[i], font, width // 2)
        x0, y0, x1, y1 = draw.multiline_textbbox((0, 0), text, font=font, spacing=1)
        size = np.array([x1 - x0 + 6, y1 - y0 + 6]).astype(int)
        # The place that is farthest from the region's edge.
        depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        corner = np.clip(np.array([x, y]) - size // 2, 0,
                         np.maximum(0, np.array([width, height]) - size - 1))
        box = (*corner.tolist(), *(corner + size).tolist())
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3]
               for b in taken):
            continue
        taken.append(box)
        draw.rectangle(box, fill='white', outline='black')
        draw.multiline_text((corner[0] + 3 - x0, corner[1] + 3 - y0), text,
                            fill='black', font=font, spacing=1)
    return np.array(sheet)


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
    """Width and height of a picture on the sheet."""
    height, width = picture.shape[:2]
    return max(1, round(width * HEIGHT / height)), HEIGHT


def enlarged(picture: np.ndarray) -> Image.Image:
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
    top = max(measure.multiline_textbbox((0, 0), h, font=large)[3] for h in heads)
    left = max(measure.multiline_textbbox((0, 0), c, font=small)[2] for c in captions)
    top, left = int(top) + 2 * GAP, int(left) + 2 * GAP
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


def find_checkpoint(name: str, args: argparse.Namespace) -> Path:
    """Last checkpoint that tools/reproduce.py has trained of a configuration.

    Raises:
        ValueError: There is none.
    """
    trained = tables.training_of(name)
    runs = args.work_dir / args.world / 'runs'
    found = [path / 'train' / 'last_checkpoint'
             for path in runs.glob(f'{trained}-{"?" * 8}/seed{args.seed}')]
    found = sorted((path for path in found if path.is_file()),
                   key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(
            f'no training of {trained} with seed {args.seed} below {runs}: run python '
            f'tools/reproduce.py table3 --world {args.world} first, or give models '
            'with --model')
    return Path(found[-1].read_text().strip())


def load_models(args: argparse.Namespace) -> dict[str, Predictor]:
    """Models by heading."""
    if args.model:
        models = {}
        for text in args.model:
            heading, equals, rest = text.partition('=')
            config, colon, checkpoint = rest.rpartition(':')
            if not equals or not colon:
                raise ValueError(f'--model {text}: expected HEADING=CONFIG:CHECKPOINT, '
                                 "with 'none' as checkpoint of a model not trained")
            models[heading] = (Path(config), checkpoint)
    else:
        models = {heading: (tables.config_path(name, args.world, CONFIGS),
                            find_checkpoint(name, args))
                  for heading, name in COLUMNS[args.sheet].items()}
    predictors = {}
    for heading, (path, checkpoint) in models.items():
        print(f'{heading}: {path}, {checkpoint}')
        if not path.is_file():
            raise ValueError(f'no such config: {path}')
        config = Config.fromfile(path)
        config.merge_from_dict(args.cfg_options)
        predictors[heading] = Predictor(
            config, None if str(checkpoint) == 'none' else checkpoint, args.device)
    return predictors


@torch.no_grad()
def predict(predictor: Predictor, item: dict, words: Vocabulary) -> np.ndarray:
    """Label map of a picture of a dataset, [H, W]."""
    model = predictor.model
    if model.vocabulary != words:
        model.set_vocabulary(words)
    sample = model.test_step(pseudo_collate([item]))[0]
    return sample.pred_sem_seg.data[0].cpu().numpy()


def picture_of(item: dict) -> np.ndarray:
    """The picture as it is, RGB uint8; drawn ones have no file."""
    sample = item['data_samples']
    if Path(sample.img_path).is_file():
        return load_image(sample.img_path)
    return np.ascontiguousarray(item['inputs'].numpy()[::-1].transpose(1, 2, 0))


def choose(args: argparse.Namespace, name: str, predictors: dict[str, Predictor],
           dataset: torch.utils.data.Dataset, count: int
           ) -> Iterator[tuple[str, list[Image.Image]]]:
    """Rows of some pictures of a benchmark, always the same ones."""
    words = dataset_vocabulary(dataset)
    config = next(iter(predictors.values())).config
    seen = words.seen(Vocabulary.load(config.model.vocabulary), match='name')
    found = []
    for index in range(min(args.look_at, len(dataset))):
        item = dataset[index]
        label = item['data_samples'].gt_sem_seg.data[0].numpy()
        inside = np.unique(label)
        inside = inside[inside < len(words)]
        if args.sheet != 'tv':
            if not seen[inside].all():
                found.append((0, index, item))
            if len(found) == count:
                break
            continue
        first, last = (predict(p, item, words) for p in
                       [*predictors.values()][::max(1, len(predictors) - 1)])
        changed = (first != last).mean()
        if changed:
            found.append((-changed, index, item))
    found.sort(key=lambda entry: entry[:2])
    if len(found) < count:
        print(f'{name}: only {len(found)} of {count} pictures found among the first '
              f'{args.look_at}; look at more with --look-at')
    for _, index, item in found[:count]:
        picture = picture_of(item)
        label = item['data_samples'].gt_sem_seg.data[0].numpy()
        maps = [label, *(predict(p, item, words) for p in predictors.values())]
        yield f'{name} {index}', [enlarged(picture),
                                  *(draw_map(picture, m, words) for m in maps)]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('sheet', choices=list(COLUMNS))
    parser.add_argument('--world', choices=list(tables.WORLDS), default='mini')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce'),
                        help='of tools/reproduce.py')
    parser.add_argument('--seed', type=int, default=0, help='of the trainings')
    parser.add_argument('--model', action='append', default=[],
                        metavar='HEADING=CONFIG:CHECKPOINT',
                        help="a column; give it once per model, checkpoint or 'none'")
    parser.add_argument('--benchmark', help='default: the one with the most classes')
    parser.add_argument('--data-root', nargs='+', action=DictAction, default={},
                        metavar='NAME=FOLDER')
    parser.add_argument('--pictures', type=int, default=5)
    parser.add_argument('--look-at', type=int, default=100,
                        help='pictures of the benchmark among which to choose')
    parser.add_argument('--out', type=Path, help='the PNG')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    args = parser.parse_args(argv)
    if min(args.pictures, args.look_at) < 1:
        parser.error('--pictures and --look-at must be at least 1')
    return args


def main(argv: list[str] | None = None) -> int | str:
    args = parse_args(argv)
    init_default_scope('mmseg')
    known = tables.WORLDS[args.world].benchmarks
    names = [args.benchmark or known[0]]
    if args.sheet == 'fig7' and not args.benchmark:
        names = [known[i] for i in FIG7]
    rows: list[tuple[str, list[Image.Image]]] = []
    try:
        predictors = load_models(args)
        config = next(iter(predictors.values())).config
        benchmarks = collect_benchmarks(
            config, names, CONFIGS / '_base_' / 'datasets', args.data_root)
        # The pictures are shared out over the benchmarks, one at least.
        count = -(-args.pictures // len(benchmarks))
        for benchmark in benchmarks:
            dataset = DATASETS.build(benchmark.dataloader['dataset'])
            rows += choose(args, benchmark.name, predictors, dataset, count)
    except (ValueError, FileNotFoundError, MissingDataError, RuntimeError) as error:
        return f'contact_sheet.py: {error}'
    if not rows:
        return 'contact_sheet.py: no such picture found'
    sheet = make_sheet(['image', 'ground truth', *predictors], rows)
    out = args.out or args.work_dir / args.world / f'{args.sheet}.png'
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)
    print(f'written to {out} ({sheet.width} x {sheet.height})')
    return 0


if __name__ == '__main__':
    sys.exit(main())
