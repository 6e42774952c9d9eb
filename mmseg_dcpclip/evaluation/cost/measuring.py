"""Times all cases of a run in turn and counts what they need."""

from collections.abc import Sequence

from ..efficiency import (
    TimedCall,
    measure_times,
    multiply_adds,
    peak_memory,
    summarize_times,
)
from .bench import PICTURE, Bench, Case
from .clip_cases import open_clip_tower
from .san_cases import SAN_SIZE

FIGURES = ('time_ratio', 'seconds', 'extra_memory_gb', 'gflops', 'words_memory_gb',
           'memory_with_words_gb')
# What the figures mean; it stands beside them.
NOTES = (
    'gflops: 1e9 multiply-adds of matrix products, convolutions and attention',
    'extra_memory_gb: 1e9 bytes, peak of torch beyond what was alive before the call',
    'words_memory_gb: 1e9 bytes of the mean embeddings, kept between calls',
    'forward: dcpclip from one crop to the logits of the selected maps with cached '
    f'words; san from {SAN_SIZE} x {SAN_SIZE} pixels to logits of that size',
    f'postprocess: from there to the label map at {PICTURE[0]} x {PICTURE[1]}',
    'selection: from features to the categories of a picture; plain selection: the '
    'same with all words compared in float32',
    'train: forward and backward of one crop without the optimizer; clip: the mean '
    'of the patch features with gradients of q and v',
    'time_ratio: to the median of clip, for train to that of its train row',
    'selected: never more than there are words; selected_asked: as --selected says',
    'selection auto: what the selection finds for random weights, image and words; '
    'other numbers hold for photographs',
    'tag validation (a second look at the label map) is not part of any figure')


def measure_cases(bench: Bench, cases: Sequence[Case]
                  ) -> tuple[list[dict], dict | None]:
    """Measure all cases.

    Args:
        bench: The model.
        cases: The bare encoder, which is the unit, comes first.

    Returns:
        tuple: The rows of the cases with their figures behind, None where a case could
        not be run; and seconds of open_clip's own image tower, None where it cannot be
        built.
    """
    jobs = {i: case.job for i, case in enumerate(cases) if case.job}
    # Training steps apart: the heap they leave behind slows the next call.
    train = [i for i in jobs if cases[i].row['phase'] == 'train']
    runs = [i for i in jobs if i not in train]
    reference = _reference(bench)
    times = _times(bench, [*(jobs[i] for i in runs), *reference])
    seconds = dict(zip(runs, times))
    seconds |= zip(train, _times(bench, [jobs[i] for i in train]))
    units = {cases[i].row['phase']: seconds[i]['median'] for i in seconds
             if cases[i].row['model'] == 'clip'}
    rows = []
    for i, case in enumerate(cases):
        if i not in jobs:
            rows.append(case.row | dict.fromkeys(FIGURES))
            continue
        unit = units['train' if i in train else 'forward']
        rows.append(case.row | _figures(case, jobs[i], seconds[i], unit, bench.device))
    return rows, times[-1] if reference else None


def _reference(bench: Bench) -> list[TimedCall]:
    """open_clip's own image tower as the only job, or none."""
    try:
        tower, crop = open_clip_tower(bench.model, bench.crop)
    except (TypeError, RuntimeError):  # a tower that another open_clip builds
        return []
    return [TimedCall(bench.inference(lambda: tower(crop)))]


def _times(bench: Bench, jobs: Sequence[TimedCall]) -> list[dict[str, float]]:
    """Seconds of each job; they are timed in turn."""
    conditions = bench.conditions
    return [summarize_times(seconds) for seconds in measure_times(
        jobs, conditions.repeats, conditions.warmup, bench.device)]


def _figures(case: Case, job: TimedCall, seconds: dict[str, float], unit: float,
             device: str) -> dict:
    """What is known of a case that was timed.

    Args:
        case: The case.
        job: Its job.
        seconds: As ``summarize_times`` gives them.
        unit: Median seconds of the bare encoder.
        device: Where it runs.
    """
    figures: dict = dict(time_ratio=seconds['median'] / unit, seconds=seconds)
    job.setup()
    figures['extra_memory_gb'] = peak_memory(job.call, device) / 1e9
    job.setup()
    figures['gflops'] = multiply_adds(job.call) / 1e9
    if case.parts:
        figures |= case.parts()
        figures['gflops_head'] = (figures['gflops'] - figures['gflops_encoder']
                                  - figures['gflops_selection'])
    words = case.row.get('words_memory_gb', 0.0)
    return figures | dict(words_memory_gb=words,
                          memory_with_words_gb=figures['extra_memory_gb'] + words)
