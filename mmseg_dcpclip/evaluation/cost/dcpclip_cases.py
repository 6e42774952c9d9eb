"""DCP-CLIP with any number of words and of selected categories."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ...models import DCPCLIP, CLIPFeatures, Pairs, TextEmbeddings
from ...models.segmentors.views import Views, make_views
from ...models.selection import prunable
from ..efficiency import TimedCall, multiply_adds
from .bench import PICTURE, Bench, Case, make_row
from .stand_ins import FixedSelection, RandomWords, random_words

PHASES = ('forward', 'selection', 'postprocess')  # at test time
Logits = tuple[Tensor, Pairs, CLIPFeatures]  # of ``DCPCLIP.encode_decode``


def make_selection(model: DCPCLIP, asked: int | str, words: int) -> nn.Module:
    """A selection of so many categories, and never more than there are words.

    Args:
        model: The model.
        asked: How many, or ``'auto'`` for the model's own.
        words: C.
    """
    if isinstance(asked, str):
        return model.selection
    return FixedSelection(model.selection, min(asked, words))


def segment(model: DCPCLIP, image: Tensor, words: TextEmbeddings, selection: nn.Module
            ) -> SegDataSample:
    """All that a picture goes through from pixels to the label map.

    Args:
        model: The model.
        image: [1, 3, H, W].
        words: In place of its words.
        selection: In place of its selection.

    Returns:
        SegDataSample: With ``pred_sem_seg`` at ``PICTURE``.
    """
    views = model.make_views(image)
    return write_map(model, views, model.encode_decode(
        views.images, text=words, selection=selection, views=views.per_image))


def write_map(model: DCPCLIP, views: Views, kept: Logits) -> SegDataSample:
    """The label map of a picture.

    Args:
        model: The model.
        views: Of one image.
        kept: The logits of all its views.

    Returns:
        SegDataSample: With ``pred_sem_seg`` at ``PICTURE``.
    """
    logits, pairs, _ = kept
    sample = SegDataSample(metainfo=dict(ori_shape=PICTURE))
    model.write_prediction(sample, logits, pairs, views, 0)
    return sample


def inference_cases(bench: Bench, classes: Sequence[int],
                    selected: Sequence[int | str], phases: Sequence[str]
                    ) -> list[Case]:
    """Forward and postprocess for every number of words and selected categories.

    The selection alone is measured for every number of words.

    Args:
        bench: The model.
        classes: Numbers of words.
        selected: Numbers of selected categories, or ``'auto'``.
        phases: ``'forward'``, ``'selection'``, ``'postprocess'``; others are no cases
            here.
    """
    cases = []
    for count in classes if {*PHASES} & set(phases) else ():
        words = random_words(bench.model, count, bench.device)
        if 'selection' in phases:
            cases += _selection_cases(bench, words)
        # With few words several of these come to the same: the first stands.
        asked = {n if isinstance(n, str) else min(n, count): n
                 for n in reversed(selected)}
        for n in dict.fromkeys(selected):
            if n in asked.values():
                cases += _inference_cases(bench, words, n, phases)
    return cases


def _selection_cases(bench: Bench, words: RandomWords) -> list[Case]:
    """The model's own selection; also without pruning where that is another way."""
    model, own = bench.model, bench.model.selection
    model.eval()
    features = bench.inference(lambda: model.extract_feat(bench.crop))()
    ways: dict[str, Any] = dict(selection=own)
    if getattr(own, 'prune', False) and prunable(features.patch, words.mean):
        plain: Any = deepcopy(own)
        plain.prune = False
        ways['plain selection'] = plain
    return [_selection_case(bench, phase, words, features, way)
            for phase, way in ways.items()]


def _selection_case(bench: Bench, phase: str, words: RandomWords,
                    features: CLIPFeatures, selection: nn.Module) -> Case:
    """One selection alone."""
    model = bench.model
    select = bench.inference(lambda: model.select(features, words, selection))
    return Case(make_row('dcpclip', phase, len(words.mean), int(select().sum()),
                         selection='auto', selected_asked='auto',
                         words_memory_gb=words.nbytes / 1e9),
                TimedCall(select, model.eval))


def _inference_cases(bench: Bench, words: RandomWords, asked: int | str,
                     phases: Sequence[str]) -> list[Case]:
    """The phases of one number of words and selected categories."""
    model, count = bench.model, len(words.mean)
    selection = make_selection(model, asked, count)
    views = make_views(bench.crop, mode='whole')
    encode_decode = bench.inference(lambda: model.encode_decode(
        bench.crop, text=words, selection=selection))
    model.eval()
    kept = encode_decode()  # the first call also decides a fixed selection
    row: dict[str, Any] = dict(
        classes=count, selected=len(kept[1]),
        selection='auto' if asked == 'auto' else 'fixed', selected_asked=asked,
        words_memory_gb=words.nbytes / 1e9)
    cases = []
    if 'forward' in phases:
        cases.append(Case(
            make_row('dcpclip', 'forward', **row), TimedCall(encode_decode, model.eval),
            part_counter(bench, words, selection)))
    if 'postprocess' in phases:
        write = bench.inference(lambda: write_map(model, views, kept))
        cases.append(Case(
            make_row('dcpclip', 'postprocess', **row), TimedCall(write, model.eval)))
    return cases


def part_counter(bench: Bench, words: RandomWords, selection: nn.Module
                 ) -> Callable[[], dict[str, float]]:
    """Counts 1e9 multiply-adds of encoder and selection when it is called."""
    model = bench.model
    encode = bench.inference(lambda: model.extract_feat(bench.crop))

    def count() -> dict[str, float]:
        features = encode()
        select = bench.inference(lambda: model.select(features, words, selection))
        return dict(gflops_encoder=multiply_adds(encode) / 1e9,
                    gflops_selection=multiply_adds(select) / 1e9)

    return count


def train_cases(bench: Bench, numbers: Sequence[int]) -> list[Case]:
    """Training steps with exactly so many selected categories.

    Args:
        bench: The model.
        numbers: Selected categories.

    Raises:
        ValueError: More categories than the config's vocabulary has.
    """
    count = len(bench.model.vocabulary)
    if max(numbers) > count:
        raise ValueError(f'--train-categories {max(numbers)}: the config trains on '
                         f'{count} words')
    words = random_words(bench.model, count, bench.device)
    return [_train_case(bench, words, number) for number in numbers]


def _train_case(bench: Bench, words: RandomWords, number: int) -> Case:
    """A training step with so many selected categories."""
    model, size = bench.model, bench.conditions.size
    selection = FixedSelection(model.selection, number)
    model.eval()
    mask = bench.inference(lambda: model.select(  # decides the selection
        model.extract_feat(bench.crop), words, selection))()
    # Labels are selected ones: joining them must not add a category.
    ids = Pairs.from_mask(mask).category
    cells = torch.arange(size, device=bench.device) * 8 // size
    label = ids[(8 * cells[:, None] + cells) % number]
    sample = SegDataSample(gt_sem_seg=PixelData(data=label[None]))

    parse_losses: Any = model.parse_losses  # mmengine has no types

    def step() -> None:
        with bench.precision():
            loss = parse_losses(model.loss(
                bench.crop, [sample], text=words, selection=selection))[0]
        loss.backward()

    row = make_row('dcpclip', 'train', len(words.mean), number, selection='fixed',
                   words_memory_gb=words.nbytes / 1e9)
    return Case(row, TimedCall(step, bench.train_mode))
