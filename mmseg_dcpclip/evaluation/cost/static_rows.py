"""What the network of fixed shapes takes, as it is and by torch.compile."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.config import Config

from ...models import DCPCLIP
from ...models.segmentors.compiling import compiled
from ...models.segmentors.static import MAX_SELECTED, StaticSettings
from ..efficiency import TimedCall, measure_times, summarize_times
from .bench import Bench, Conditions
from .stand_ins import FixedSelection, random_model, random_words


def static_rows(config: Config, classes: int, selected: int, conditions: Conditions
                ) -> list[dict[str, Any]]:
    """Time one crop from pixels to logits, in turn in all ways.

    Args:
        config: The config; it stays as it is.
        classes: Number of random words.
        selected: Selected categories; the fixed number is ``MAX_SELECTED``, or this one
            if it is larger.
        conditions: How it is measured; on a GPU CUDA graphs as well.

    Returns:
        list: Rows with ``case``, ``categories`` (decoded ones, None for the encoder
        alone), ``build_seconds`` (of the first call, None where nothing is built),
        ``seconds`` and ``time_ratio`` (of the medians, to the encoder as it is).
    """
    model: DCPCLIP = random_model(config, conditions.device)
    bench = Bench(model, conditions)
    words = random_words(model, classes, conditions.device)
    words.first_equal()
    selection = FixedSelection(model.selection, min(selected, classes))
    most = max(MAX_SELECTED, selected)
    ways: dict[str, Any] = dict(compiled={})
    if torch.device(conditions.device).type == 'cuda':
        ways['CUDA graphs'] = dict(mode='reduce-overhead')

    def predict(settings: StaticSettings | None, head: dict | None) -> Any:
        model.static, model.compile_head = settings, head
        return model.encode_decode(bench.crop, text=words, selection=selection)

    count = min(selected, classes)
    cases: list[tuple[str, int | None, Callable[[], Any], bool]] = [
        ('encoder', None, lambda: model.backbone(bench.crop), False),
        *(('encoder, ' + name, None,
           partial(compiled(_encode, **options), model.backbone, bench.crop), True)
          for name, options in ways.items()),
        ('as selected', count, partial(predict, None, None), False),
        ('as selected, neck and head compiled', count, partial(predict, None, {}),
         True),
        ('static', most, partial(predict, StaticSettings(most), None), False),
        *(('static, ' + name, most,
           partial(predict, StaticSettings(most, options), None), True)
          for name, options in ways.items())]
    rows: list[dict[str, Any]] = []
    for case, categories, call, built in cases:
        start = time.perf_counter()
        bench.inference(call)()
        seconds = time.perf_counter() - start
        rows.append(dict(case=case, categories=categories,
                         build_seconds=seconds if built else None))
    jobs = [TimedCall(bench.inference(call)) for _, _, call, _ in cases]
    times = measure_times(jobs, conditions.repeats, conditions.warmup,
                          conditions.device)
    unit = summarize_times(times[0])['median']
    for row, found in zip(rows, map(summarize_times, times)):
        row |= dict(seconds=found, time_ratio=found['median'] / unit)
    return rows


def _encode(backbone: Any, images: torch.Tensor) -> Any:
    """A plain function, see ``compiled``."""
    return backbone(images)
