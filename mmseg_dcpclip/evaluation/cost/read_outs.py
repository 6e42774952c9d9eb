"""Seconds and multiply-adds of CLIP's image encoder by read-out."""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial

import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from ...models.clip.readouts import ReadOut
from ..efficiency import TimedCall, measure_times, multiply_adds, summarize_times
from .bench import PRECISIONS, Conditions, random_image


def read_out_rows(config: Config, names: Sequence[str], conditions: Conditions
                  ) -> list[dict]:
    """Measure one encoder with each read-out, in turn.

    Args:
        config: Its ``model.backbone`` is built, with random weights.
        names: Of read-outs; ``plain``, the unit, comes first of itself.
        conditions: How it is measured.

    Returns:
        list: Rows with ``read_out``, ``time_ratio`` (of the medians, to plain),
        ``seconds``, ``gflops`` (1e9 multiply-adds) and ``gflops_ratio``.

    Raises:
        ValueError: There is no such read-out.
    """
    settings = deepcopy(config.model.backbone)
    settings.update(pretrained=None, read_out='plain')
    encoder = MODELS.build(settings).to(conditions.device).eval()
    image = random_image(conditions.size, conditions.size, conditions.device)
    dtype = PRECISIONS[conditions.amp]

    def encode() -> None:
        with torch.no_grad(), torch.autocast(
                torch.device(conditions.device).type, dtype, enabled=dtype is not None):
            encoder(image)

    names = list(dict.fromkeys(['plain', *names]))
    jobs = [TimedCall(encode, partial(setattr, encoder, 'read_out', read_out))
            for read_out in [ReadOut(name, len(encoder.blocks)) for name in names]]
    times = measure_times(jobs, conditions.repeats, conditions.warmup,
                          conditions.device)
    rows: list[dict] = []
    for name, job, own in zip(names, jobs, times):
        job.setup()
        seconds, gflops = summarize_times(own), multiply_adds(job.call) / 1e9
        first: dict = rows[0] if rows else dict(seconds=seconds, gflops=gflops)
        rows.append(dict(
            read_out=name, time_ratio=seconds['median'] / first['seconds']['median'],
            seconds=seconds, gflops=gflops, gflops_ratio=gflops / first['gflops']))
    return rows
