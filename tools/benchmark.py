#!/usr/bin/env python
"""Measure what an image costs, as a multiple of the bare CLIP encoder.

    python tools/benchmark.py --classes 20 847 100000 --selected 24 --json out.json
    python tools/benchmark.py --efficiency

Weights, image and words are random: they do not change what is computed. All cases are
timed in turn in one process, training steps after the others. With --efficiency the
columns of the paper's Table II are printed instead.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import mmseg
import open_clip
import torch
import torch.nn.functional as F
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.decode_heads import san_head
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from mmseg_dcpclip import Vocabulary, __version__
from mmseg_dcpclip.datasets.labels import write_json
from mmseg_dcpclip.evaluation.efficiency import (
    Job,
    count_parameters,
    describe_machine,
    measure_times,
    multiply_adds,
    peak_memory,
    summarize_times,
)
from mmseg_dcpclip.models.clip.layers import freeze_all_but
from mmseg_dcpclip.models.clip.loading import clip_config
from mmseg_dcpclip.models.selection import Pairs

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
DEFAULT_CONFIG = CONFIGS / 'dcpclip_vitb16_coco.py'
EFFICIENCY_CONFIGS = (DEFAULT_CONFIG, CONFIGS / 'dcpclip_vitl14_coco.py')
PICTURE = (512, 683)  # size of the label map in pixels
SAN_CONFIG = 'configs/_base_/models/san_vit-b16.py'
SAN_SIZE = 640
NOISE_ROWS = 64  # different template patterns of the random words
NOT_RUN = 'not run'
PAPER = dict(
    model='the paper (RTX 3090)', learnable_paper_m=80.3, total_m=443.6,
    train_min=496.4, seconds=dict(median=0.2), gflops=616.2, miou=32.4)
NOTES = (
    'gflops: 1e9 multiply-adds of matrix products, convolutions and attention',
    'extra_memory_gb: 1e9 bytes, peak of torch beyond what was alive before the call',
    'words_memory_gb: 1e9 bytes of the mean embeddings, kept between calls',
    'forward: dcpclip from one crop to the logits of the selected maps with cached '
    f'words; san from {SAN_SIZE} x {SAN_SIZE} pixels to logits of that size',
    f'postprocess: from there to the label map at {PICTURE[0]} x {PICTURE[1]}',
    'train: forward and backward of one crop without the optimizer; clip: the mean '
    'of the patch features with gradients of q and v',
    'time_ratio: to the median of clip, for train to that of its train row',
    'selected: never more than there are words; selected_asked: as --selected says',
    'selection auto: what the selection finds for random weights, image and words; '
    'other numbers hold for photographs')


# ------------------------------------------------------------------------ stand-ins

class RandomWords:
    """Embeddings of words that nobody said, with the interface of TextEmbeddings.

    Rows of templates are made on demand: of 100,000 words they would take 8 GB.

    Args:
        count: C, words.
        dims: D, width of the joint space.
        templates: P, prompts per word.
        device: Where they lie.
        dtype: Of the mean embeddings.

    Attributes:
        mean: Unit embeddings, [C, D].
    """

    def __init__(self, count: int, dims: int, templates: int, device: str,
                 dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)
        mean = torch.randn(count, dims, generator=generator)
        self.mean = F.normalize(mean, dim=-1).to(device, dtype)
        noise = torch.randn(NOISE_ROWS, templates, dims, generator=generator)
        self.noise = (0.5 * F.normalize(noise, dim=-1)).to(device)

    def rows(self, ids: Tensor) -> Tensor:
        """Unit embeddings of words [M] with each template, float32 [M, P, D]."""
        rows = self.mean[ids].float()[:, None] + self.noise[ids % len(self.noise)]
        return F.normalize(rows, dim=-1)

    @property
    def nbytes(self) -> int:
        """int: Bytes kept between calls."""
        return self.mean.numel() * self.mean.element_size()


class FixedSelection(nn.Module):
    """Runs a selection and returns a fixed number of categories instead.

    The first call decides: those with the highest image scores.

    Args:
        selection: The model's own.
        count: Categories per image.
    """

    def __init__(self, selection: nn.Module, count: int) -> None:
        super().__init__()
        self.selection = selection
        self.count = count
        self.mask: Tensor | None = None

    @torch.no_grad()
    def forward(self, patch: Tensor, cls: Tensor, text: Tensor, *args, **kwargs
                ) -> Tensor:
        """As the selection: bool [B, C] from [B, N, D], [B, D] and [C, D]."""
        selected = self.selection(patch, cls, text, *args, **kwargs)
        if self.mask is None:
            logits = [cls.float() @ part.float().T for part in text.split(4096)]
            best = torch.cat(logits, 1).topk(self.count, 1).indices
            self.mask = torch.zeros_like(selected).scatter_(1, best, True)
        return self.mask


# --------------------------------------------------------------------------- models

def load_config(path: Path, args: argparse.Namespace) -> Config:
    """Read a config and apply the arguments."""
    config = Config.fromfile(path)
    config.merge_from_dict(args.cfg_options)
    return config


def random_model(config: Config, device: str) -> nn.Module:
    """Build a config's DCPCLIP with random weights."""
    for tower in (config.model.backbone, config.model.text_encoder):
        tower.pretrained = None
    return MODELS.build(config.model).to(device).eval()


def random_words(model: nn.Module, count: int, device: str) -> RandomWords:
    """Words that fit a model."""
    dims = model.backbone.visual.proj.shape[1]
    dtype = getattr(torch, model.text_bank.precision['mean'])
    return RandomWords(count, dims, len(model.text_encoder.templates), device, dtype)


def open_clip_tower(model: nn.Module, crop: Tensor) -> tuple[nn.Module, Tensor]:
    """open_clip's own image tower for a crop, and the crop at the size it takes."""
    backbone = model.backbone
    size = tuple(backbone.input_size or (
        max(1, round(n / p)) * p for n, p in zip(crop.shape[-2:], backbone.patch_size)))
    config = clip_config(backbone.model_name)
    tower = open_clip.CustomTextCLIP(
        embed_dim=config['embed_dim'],
        vision_cfg=dict(config['vision_cfg'], image_size=size),
        text_cfg=dict(context_length=1, vocab_size=1, width=8, heads=1, layers=1),
        quick_gelu=bool(backbone.quick_gelu)).visual
    return tower.to(crop.device).eval(), F.interpolate(crop, size, mode='bilinear')


def _only_in_training(*args, **kwargs) -> None:
    raise RuntimeError('SAN was built without point_sample: it can predict, not train')


def build_san(device: str) -> nn.Module:
    """Build mmseg's SAN ViT-B/16 with random weights.

    Raises:
        FileNotFoundError: mmseg was installed without its configs.
    """
    root = Path(mmseg.__file__).parent
    paths = [folder / SAN_CONFIG for folder in (root / '.mim', root.parent)]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(f'mmseg has no {SAN_CONFIG}')
    config = Config.fromfile(path).model
    config.pop('data_preprocessor')
    config.pretrained = None
    config.text_encoder.vocabulary = ['word']
    config.decode_head.train_cfg = None
    # mmcv without compiled ops lacks point_sample, which only SAN's loss calls.
    if san_head.point_sample is None:
        san_head.point_sample = _only_in_training
    return MODELS.build(config).to(device).eval()


# ---------------------------------------------------------------------------- cases

@dataclass
class Case:
    """One row to be measured.

    Attributes:
        row: What it is; results are added.
        job: What is measured; None with ``row['not_run']`` where nothing can be.
        parts: Multiply-adds of single parts, to be called after ``job.setup``.
    """
    row: dict
    job: Job | None = None
    parts: Callable[[], dict[str, float]] | None = None


def make_row(model: str, phase: str, classes: int | None = None,
             selected: int | None = None, **more) -> dict:
    return dict(model=model, classes=classes, selected=selected, phase=phase, **more)


@dataclass
class Bench:
    """What all cases share.

    Attributes:
        model: The DCPCLIP.
        size: Side of the crop in pixels.
        device: Where it runs.
        amp: ``'none'``, ``'bf16'`` or ``'fp16'``.
    """
    model: nn.Module
    size: int
    device: str
    amp: str = 'none'
    crop: Tensor = field(init=False)
    selection: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        crop = torch.randn(1, 3, self.size, self.size, generator=generator)
        self.crop = crop.to(self.device)
        self.selection = self.model.selection
        self.model.test_cfg = dict(mode='whole')
        model = self.model.backbone
        freeze_all_but(model, model.visual.transformer, 'qv')

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Autocast as asked for."""
        dtype = dict(none=None, bf16=torch.bfloat16, fp16=torch.float16)[self.amp]
        with torch.autocast(torch.device(self.device).type, dtype,
                            enabled=dtype is not None):
            yield

    def inference(self, call: Callable[[], object]) -> Callable[[], object]:
        """A call without gradients in this precision."""
        def run() -> object:
            with torch.no_grad(), self.precision():
                return call()
        return run

    def prepare(self, words: RandomWords, selection: nn.Module,
                vocabulary: Vocabulary) -> None:
        """Give the model words and a selection; undo :meth:`keep`."""
        model = self.model
        model.__dict__.pop('encode_decode', None)
        model.text_embeddings = lambda: words
        model.selection, model.vocabulary = selection, vocabulary
        model.eval()

    # ------------------------------------------------------------------ the encoder

    def clip_cases(self, phases: list[str]) -> list[Case]:
        """The bare encoder, and with its backward pass."""
        backbone = self.model.backbone

        def step() -> None:
            with self.precision():
                loss = backbone(self.crop).patch.float().mean()
            loss.backward()

        cases = [Case(make_row('clip', 'forward'), Job(
            self.inference(lambda: backbone(self.crop)), self.model.eval))]
        if 'train' in phases:
            cases.append(Case(make_row('clip', 'train'), Job(step, self._train_mode)))
        return cases

    def _train_mode(self) -> None:
        self.model.train()
        self.model.zero_grad(set_to_none=True)

    # ---------------------------------------------------------------------- DCP-CLIP

    def dcpclip_cases(self, classes: list[int], selected: list[int | str],
                      phases: list[str]) -> list[Case]:
        """Forward and postprocess for every number of words and selected categories."""
        cases = []
        for count in classes if {'forward', 'postprocess'} & set(phases) else ():
            words = random_words(self.model, count, self.device)
            vocabulary = Vocabulary([f'word {i}' for i in range(count)])
            # With few words several of these come to the same: the first stands.
            asked = {n if n == 'auto' else min(n, count): n
                     for n in reversed(selected)}
            for n in dict.fromkeys(selected):
                if n in asked.values():
                    cases += self._inference_cases(words, vocabulary, n, phases)
        return cases

    def _inference_cases(self, words: RandomWords, vocabulary: Vocabulary,
                         asked: int | str, phases: list[str]) -> list[Case]:
        model = self.model
        selection = self.selection if asked == 'auto' else FixedSelection(
            self.selection, min(asked, len(vocabulary)))

        def setup() -> None:
            self.prepare(words, selection, vocabulary)

        setup()
        forward = self.inference(lambda: model.encode_decode(self.crop))
        kept = forward()  # the first call also decides a fixed selection
        row = dict(
            classes=len(vocabulary), selected=len(kept[1]),
            selection='auto' if asked == 'auto' else 'fixed',
            selected_asked=asked, words_memory_gb=words.nbytes / 1e9)

        def keep() -> None:
            setup()
            model.encode_decode = lambda *args, **kwargs: kept

        def postprocess() -> None:
            sample = SegDataSample(metainfo=dict(ori_shape=PICTURE))
            model.predict(self.crop, [sample])

        cases = []
        if 'forward' in phases:
            cases.append(Case(make_row('dcpclip', 'forward', **row),
                              Job(forward, setup), self._parts))
        if 'postprocess' in phases:
            cases.append(Case(make_row('dcpclip', 'postprocess', **row),
                              Job(self.inference(postprocess), keep)))
        return cases

    def _parts(self) -> dict[str, float]:
        """1e9 multiply-adds of encoder and selection."""
        model = self.model
        features = self.inference(lambda: model.extract_feat(self.crop))
        kept = features()
        select = self.inference(lambda: model.select(kept, model.text_embeddings()))
        return dict(gflops_encoder=multiply_adds(features) / 1e9,
                    gflops_selection=multiply_adds(select) / 1e9)

    def train_cases(self, numbers: list[int]) -> list[Case]:
        """Training steps with exactly so many selected categories.

        Raises:
            ValueError: More categories than the config's vocabulary has.
        """
        vocabulary = Vocabulary.of(self.model.vocabulary)
        count = len(vocabulary)
        if max(numbers) > count:
            raise ValueError(f'--train-categories {max(numbers)}: the config trains on '
                             f'{count} words')
        words = random_words(self.model, count, self.device)
        return [self._train_case(words, vocabulary, number) for number in numbers]

    def _train_case(self, words: RandomWords, vocabulary: Vocabulary, number: int
                    ) -> Case:
        model, selection = self.model, FixedSelection(self.selection, number)
        self.prepare(words, selection, vocabulary)
        self.inference(lambda: model.select(
            model.extract_feat(self.crop), words))()  # decides the selection
        # Labels are selected ones: joining them must not add a category.
        ids = Pairs.from_mask(selection.mask).category
        cells = torch.arange(self.size, device=self.device) * 8 // self.size
        label = ids[(8 * cells[:, None] + cells) % number]
        sample = SegDataSample(gt_sem_seg=PixelData(data=label[None]))

        def setup() -> None:
            self.prepare(words, selection, vocabulary)
            self._train_mode()

        def step() -> None:
            with self.precision():
                loss = model.parse_losses(model.loss(self.crop, [sample]))[0]
            loss.backward()

        row = make_row('dcpclip', 'train', len(vocabulary), number, selection='fixed',
                       words_memory_gb=words.nbytes / 1e9)
        return Case(row, Job(step, setup))

    # --------------------------------------------------------------------------- SAN

    def san_cases(self, classes: list[int], phases: list[str], max_classes: int
                  ) -> list[Case]:
        """mmseg's SAN, which makes a map of every word."""
        reason, san = None, None
        try:
            if min(classes) <= max_classes:
                san = build_san(self.device)
        except Exception as error:  # any reason is a reason to go on without
            reason = f'{NOT_RUN}: {type(error).__name__}: {error}'
        cases = []
        for count in classes:
            need = count * (SAN_SIZE**2 + PICTURE[0] * PICTURE[1]) * 4 / 1e9
            why = reason or (f'{NOT_RUN}: would need {need:.1f} GB for its maps, see '
                             '--san-max-classes' if count > max_classes else None)
            for phase in ('forward', 'postprocess'):
                if phase in phases:
                    cases.append(
                        Case(make_row('san', phase, count, not_run=why)) if why
                        else self._san_case(san, count, phase))
        return cases

    def _san_case(self, san: nn.Module, count: int, phase: str) -> Case:
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(1, 3, SAN_SIZE, SAN_SIZE, generator=generator)
        image = image.to(self.device)
        dims = san.text_encoder.text_projection.shape[1]
        table = F.normalize(torch.randn(count, dims, generator=generator), dim=-1)
        # Its own cache: nothing is encoded.
        cache = {f'word {i}': row for i, row in enumerate(table.to(self.device))}
        meta = dict(ori_shape=PICTURE, img_shape=(SAN_SIZE, SAN_SIZE),
                    padding_size=[0] * 4)
        logits: list[Tensor] = []

        def words() -> None:
            san.text_encoder.vocabulary = list(cache)
            san.text_encoder.cache = cache

        def fill() -> None:
            logits[:] = [torch.full((1, count, SAN_SIZE, SAN_SIZE), 0.5,
                                    device=self.device)]

        def postprocess() -> None:
            san.postprocess_result(logits.pop(), [SegDataSample(metainfo=meta)])

        job = (Job(self.inference(lambda: san.encode_decode(image, [dict(meta)])),
                   words)
               if phase == 'forward' else Job(self.inference(postprocess), fill))
        row = make_row('san', phase, count, words_memory_gb=table.numel() * 4 / 1e9)
        return Case(row, job)


# ---------------------------------------------------------------------- measurement

def measure(bench: Bench, cases: list[Case], repeats: int, warmup: int) -> dict | None:
    """Add results to the rows of all cases; the bare encoder comes first.

    Returns:
        dict: Seconds of open_clip's own image tower; None where it cannot be built.
    """
    # Training steps apart: the heap they leave behind slows the next call.
    train = [case for case in cases if case.job and case.row['phase'] == 'train']
    runs = [case for case in cases if case.job and case.row['phase'] != 'train']
    jobs = [case.job for case in runs]
    try:
        tower, crop = open_clip_tower(bench.model, bench.crop)
        jobs.append(Job(bench.inference(lambda: tower(crop))))
    except (TypeError, RuntimeError):  # a tower that another open_clip builds
        tower = None
    times = [summarize_times(seconds) for group in (jobs, [case.job for case in train])
             for seconds in measure_times(group, repeats, warmup, bench.device)]
    reference = times.pop(len(runs)) if tower is not None else None
    runs += train
    unit = {case.row['phase']: seconds['median'] for case, seconds in zip(runs, times)
            if case.row['model'] == 'clip'}
    for case, seconds in zip(runs, times):
        phase, row = case.row['phase'], case.row
        row['time_ratio'] = seconds['median'] / unit[
            'train' if phase == 'train' else 'forward']
        row['seconds'] = seconds
        case.job.setup()
        row['extra_memory_gb'] = peak_memory(case.job.call, bench.device) / 1e9
        case.job.setup()
        row['gflops'] = multiply_adds(case.job.call) / 1e9
        if case.parts:
            row.update(case.parts())
            row['gflops_head'] = (row['gflops'] - row['gflops_encoder']
                                  - row['gflops_selection'])
        row['memory_with_words_gb'] = row['extra_memory_gb'] + row.setdefault(
            'words_memory_gb', 0.0)
    for case in cases:
        if not case.job:
            case.row.update(dict.fromkeys((
                'time_ratio', 'seconds', 'extra_memory_gb', 'gflops',
                'words_memory_gb', 'memory_with_words_gb')))
    return reference


def measure_efficiency(path: Path, args: argparse.Namespace) -> dict:
    """One row of Table II for a config: all views of its test_cfg."""
    config = load_config(path, args)
    with torch.device('meta'):
        numbers = count_parameters(MODELS.build(config.model))
    model = random_model(config, args.device)
    test_cfg = dict(model.test_cfg)
    size = (args.size, args.size)
    if test_cfg['mode'] == 'slide':  # two by two windows
        size = tuple(map(sum, zip(test_cfg['crop_size'], test_cfg['stride'])))
    bench = Bench(model, args.size, args.device, args.amp)
    model.test_cfg = test_cfg
    model.compile_head = {} if args.compile else None
    vocabulary = Vocabulary.of(model.vocabulary)
    number = min(next(n for n in args.selected if n != 'auto'), len(vocabulary))
    selection = FixedSelection(bench.selection, number)
    bench.prepare(random_words(model, len(vocabulary), args.device), selection,
                  vocabulary)
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    image = image.to(args.device)
    predict = bench.inference(lambda: model.predict(
        image, [SegDataSample(metainfo=dict(ori_shape=PICTURE))]))
    predict()  # decides the selection
    seconds = measure_times([Job(predict)], args.repeats, args.warmup, args.device)[0]
    return dict(
        model=path.stem, parts_m={k: v / 1e6 for k, v in numbers['parts'].items()},
        total_m=numbers['total'] / 1e6, learnable_m=numbers['learnable'] / 1e6,
        learnable_paper_m=numbers['learnable_paper'] / 1e6,
        views=len(selection.mask), selected=number, classes=len(vocabulary),
        image=list(size), gflops=multiply_adds(predict) / 1e9,
        seconds=summarize_times(seconds), train_min=NOT_RUN, miou=NOT_RUN)


# --------------------------------------------------------------------------- output

def _number(value: float | str | None, digits: int = 2) -> str:
    if value is None:
        return ''
    return value if isinstance(value, str) else f'{value:.{digits}f}'


def rows_table(head: dict) -> Table:
    """The rows of a run for the console."""
    table = Table(
        'model', 'words', 'selected', 'phase', 'x CLIP', 'seconds', 'q1 - q3',
        'extra GB', 'words GB', 'G multiply-adds',
        title=f'{head["config"]} on {head["machine"]["device"]}, '
        f'{head["precision"]}, {head["size"]} pixels',
        caption='* what the selection finds for random weights and words' if any(
            row.get('selection') == 'auto' for row in head['rows']) else None)
    for row in head['rows']:
        star = '*' if row.get('selection') == 'auto' else ''
        cells = [row['model'], _number(row['classes'], 0),
                 _number(row['selected'], 0) + star, row['phase']]
        if 'not_run' in row:
            table.add_row(*cells, NOT_RUN)
            continue
        time = row['seconds']
        table.add_row(
            *cells, _number(row['time_ratio'], 3), _number(time['median'], 4),
            f'{time["q1"]:.3f} - {time["q3"]:.3f}', _number(row['extra_memory_gb'], 3),
            _number(row['words_memory_gb'], 3), _number(row['gflops']))
    return table


def efficiency_table(head: dict) -> Table:
    """Table II for the console."""
    rows = (*head['efficiency'], PAPER)
    table = Table(
        '', *(row['model'] for row in rows),
        title=f'Table II on {head["machine"]["device"]}, {head["precision"]}')
    for part in rows[0]['parts_m']:
        table.add_row(f'{part} (M)', *(_number(row.get('parts_m', {}).get(part))
                                       for row in rows))
    for name, key, digits in (
            ('learnable (M), as configured', 'learnable_m', 2),
            ('learnable (M), as the paper counts', 'learnable_paper_m', 2),
            ('total (M)', 'total_m', 2), ('training (min)', 'train_min', 1),
            ('inference (s per image)', 'seconds', 2),
            ('GFLOPs of all views (multiply-adds)', 'gflops', 1), ('views', 'views', 0),
            ('mIoU', 'miou', 1)):
        values = [row.get(key) for row in rows]
        table.add_row(name, *(_number(v['median'] if isinstance(v, dict) else v, digits)
                              for v in values))
    return table


def plot(rows: list[dict], path: Path) -> None:
    """Draw the forward pass's ratio against the number of words."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if row['phase'] != 'forward' or not row['classes'] or 'not_run' in row:
            continue
        name = row['model']
        if name == 'dcpclip':
            own = row['selection'] == 'auto'
            name = 'DCP-CLIP, ' + ('what random features select' if own else
                                   f'{row["selected_asked"]} selected')
        lines.setdefault(name.replace('san', 'SAN'), []).append(
            (row['classes'], row['time_ratio']))
    figure, axes = plt.subplots(figsize=(6, 4))
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points)), marker='o', label=name)
    axes.axhline(1, color='0.3', linestyle='--', label='bare CLIP encoder')
    axes.set(xscale='log', xlabel='words', ylabel='time / time of the encoder')
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


# ------------------------------------------------------------------------- commands

def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number from 1 on')
    return int(text)


def _selected(text: str) -> int | str:
    return text if text == 'auto' else _positive(text)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', type=Path,
                        help='default: ViT-B/16, with --efficiency also ViT-L/14')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        help='changes of the config as key=value')
    parser.add_argument('--classes', type=_positive, nargs='+',
                        default=[20, 59, 150, 459, 847, 10000, 100000],
                        help='numbers of words')
    parser.add_argument('--selected', type=_selected, nargs='+', default=[24, 'auto'],
                        help="selected categories, or 'auto' for the selection's own")
    parser.add_argument('--train-categories', type=_positive, nargs='+',
                        default=[24, 171], help='selected categories in training')
    parser.add_argument('--size', type=_positive, default=384, help='of the crop')
    parser.add_argument('--models', nargs='+', choices=['clip', 'dcpclip', 'san'],
                        default=['clip', 'dcpclip', 'san'],
                        help='clip, the unit, is always measured')
    parser.add_argument('--phases', nargs='+', default=['forward', 'postprocess',
                                                        'train'],
                        choices=['forward', 'postprocess', 'train'])
    parser.add_argument('--san-max-classes', type=_positive, default=847,
                        help='SAN holds a map of every word: no more than these')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--amp', choices=['none', 'bf16', 'fp16'], default='none')
    parser.add_argument('--threads', type=_positive, help='of the CPU')
    parser.add_argument('--repeats', type=_positive, default=7)
    parser.add_argument('--warmup', type=int, default=1)
    parser.add_argument('--compile', action='store_true',
                        help='neck and head by torch.compile')
    parser.add_argument('--efficiency', action='store_true',
                        help="print the columns of the paper's Table II instead")
    parser.add_argument('--json', type=Path, help='write everything there')
    parser.add_argument('--plot', type=Path, help='draw the ratios there')
    args = parser.parse_args()
    _check(parser, args)
    return args


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse at once what would fail late."""
    if args.config and not args.config.is_file():
        parser.error(f'--config: no such file: {args.config}')
    if args.warmup < 0:
        parser.error(f'--warmup {args.warmup}: must be 0 or more')
    kind = args.device.partition(':')[0]
    if kind not in ('cpu', 'cuda'):
        parser.error(f'--device {args.device}: must be cpu, cuda or cuda:N')
    if kind == 'cuda' and not torch.cuda.is_available():
        parser.error(f'--device {args.device}: torch finds no CUDA device here; use '
                     '--device cpu')
    if kind == 'cpu' and args.amp == 'fp16':
        parser.error('--amp fp16 needs --device cuda; use bf16 on the CPU')
    if args.efficiency and set(args.selected) == {'auto'}:
        parser.error('--efficiency needs a number in --selected')
    if args.efficiency and args.plot:
        parser.error('--plot draws the ratios, which --efficiency does not measure')
    for path in filter(None, (args.json, args.plot)):
        if path.is_dir():
            parser.error(f'{path} is a folder; name a file')
        path.parent.mkdir(parents=True, exist_ok=True)


def run(args: argparse.Namespace) -> dict:
    """Measure the rows."""
    path = args.config or DEFAULT_CONFIG
    bench = Bench(random_model(load_config(path, args), args.device), args.size,
                  args.device, args.amp)
    bench.model.compile_head = {} if args.compile else None
    cases = bench.clip_cases(args.phases)
    if 'dcpclip' in args.models:
        if 'train' in args.phases:
            cases += bench.train_cases(args.train_categories)
        cases += bench.dcpclip_cases(args.classes, args.selected, args.phases)
    if 'san' in args.models:
        cases += bench.san_cases(args.classes, args.phases, args.san_max_classes)
    reference = measure(bench, cases, args.repeats, args.warmup)
    return dict(config=path.name, open_clip_seconds=reference,
                rows=[case.row for case in cases])


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    head = dict(
        command=shlex.join(['python', *sys.argv]), version=__version__,
        date=datetime.now().astimezone().isoformat(timespec='seconds'),
        machine=describe_machine(args.device),
        precision='fp32' if args.amp == 'none' else args.amp, size=args.size,
        compiled=args.compile, repeats=args.repeats, notes=NOTES)
    if args.efficiency:
        paths = [args.config] if args.config else EFFICIENCY_CONFIGS
        head['efficiency'] = [measure_efficiency(path, args) for path in paths]
        head['paper'] = PAPER
    else:
        head.update(run(args))
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a pipe has none of its own
    console.print((efficiency_table if args.efficiency else rows_table)(head))
    for row in head.get('rows', ()):
        if 'not_run' in row:
            console.print(f'{row["model"]}, {row["classes"]} words, {row["phase"]}: '
                          f'{row["not_run"]}')
    if args.json:
        write_json(args.json, head)
    if args.plot:
        plot(head['rows'], args.plot)


if __name__ == '__main__':
    main()
