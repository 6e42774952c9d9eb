"""What a model costs: seconds, memory, multiply-adds and parameters."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from torch.utils import flop_counter

if TYPE_CHECKING:
    from ..models import DCPCLIP

Call = Callable[[], object]


def _nothing() -> None:
    """The setup of a job that needs none."""


@dataclass
class TimedCall:
    """Something to be timed.

    Attributes:
        call: What the clock runs for.
        setup: Runs before each call, outside of the clock.
    """
    call: Call
    setup: Call = _nothing


def synchronize(device: str | torch.device) -> None:
    """Wait for what a CUDA device still has to do; nothing elsewhere."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)


def measure_times(jobs: Sequence[TimedCall], repeats: int, warmup: int = 1,
                  device: str | torch.device = 'cpu') -> list[list[float]]:
    """Time jobs in turn, so that a slow phase of the machine hits all of them alike.

    Args:
        jobs: All that is to be compared.
        repeats: Timed rounds.
        warmup: Rounds before these.
        device: Where the jobs run.

    Returns:
        list: Seconds of each round, one list per job.

    Raises:
        ValueError: Less than one round.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f'repeats must be at least 1 and warmup 0, got {repeats} and '
                         f'{warmup}')
    seconds: list[list[float]] = [[] for _ in jobs]
    for turn in range(-warmup, repeats):
        for job, times in zip(jobs, seconds):
            job.setup()
            synchronize(device)
            start = time.perf_counter()
            job.call()
            synchronize(device)
            if turn >= 0:
                times.append(time.perf_counter() - start)
    return seconds


def summarize_times(seconds: Sequence[float]) -> dict[str, float]:
    """Median, smallest value and quartiles of some times.

    Args:
        seconds: At least one.

    Returns:
        dict: ``median``, ``min``, ``q1`` and ``q3``, in seconds.
    """
    q1, median, q3 = np.percentile(seconds, (25, 50, 75))
    return dict(median=float(median), min=float(min(seconds)), q1=float(q1),
                q3=float(q3))


def peak_memory(call: Call, device: str | torch.device = 'cpu') -> int:
    """Bytes that torch allocates at most at once during a call.

    What was alive before does not count. On the CPU the profiler reports every
    allocation and release of torch's allocator, temporaries inside kernels included;
    scratch memory that a library like oneDNN takes by itself is not seen.

    Args:
        call: Runs once.
        device: A CPU or a CUDA device.

    Returns:
        int: Peak in bytes.
    """
    if torch.device(device).type == 'cuda':
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # Only errors of the profiler itself, not that it starts and stops.
    os.environ.setdefault('KINETO_LOG_LEVEL', '6')
    with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU],
            profile_memory=True) as profile:
        call()
    events = [event for event in profile.profiler.kineto_results.events()
              if event.name() == '[memory]']
    # torch < 2.3 tells microseconds; sorting keeps the order of equal ones.
    events.sort(key=lambda e: e.start_ns() if hasattr(e, 'start_ns') else e.start_us())
    return int(np.cumsum([0] + [event.nbytes() for event in events]).max())


def _attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int],
                     *args, **kwargs) -> int:
    return flop_counter.sdpa_flop_count(query, key, value)


def _attention_backward_flops(grad: Sequence[int], query: Sequence[int],
                              key: Sequence[int], value: Sequence[int], *args,
                              **kwargs) -> int:
    return flop_counter.sdpa_backward_flop_count(grad, query, key, value)


def _product_flops(a: Sequence[int], b: Sequence[int], *args, **kwargs) -> int:
    return flop_counter.mm_flop(a, b)


def multiply_adds(call: Call) -> int:
    """Multiply-adds of matrix products, convolutions and attention in a call.

    One multiply-add is two floating-point operations. Papers on segmentation, and
    their "GFLOPs", count multiply-adds. Those in 8 bits count as well.

    Args:
        call: Runs once; a backward pass in it counts as well.

    Returns:
        int: Multiply-adds.
    """
    # Some versions of torch leave out the CPU's fused attention.
    formulas: dict[Any, Callable[..., int]] = {}
    name = '_scaled_dot_product_flash_attention_for_cpu'
    if hasattr(torch.ops.aten, name):
        formulas[getattr(torch.ops.aten, name)] = _attention_flops
        formulas[getattr(torch.ops.aten, f'{name}_backward')] = (
            _attention_backward_flops)
    if hasattr(torch.ops.aten, '_int_mm'):
        formulas[torch.ops.aten._int_mm] = _product_flops
    with flop_counter.FlopCounterMode(display=False,
                                      custom_mapping=formulas) as counter:
        call()
    return counter.get_total_flops() // 2


class Parameters(TypedDict):
    """Numbers of parameters.

    Attributes:
        parts: CLIP image, CLIP text, alignment, decoder, and auxiliary head where there
            is one.
        total: All of them.
        learnable: As configured.
        learnable_paper: As the paper counts: q and v weights of both CLIP towers and
            everything outside of CLIP.
    """
    parts: dict[str, int]
    total: int
    learnable: int
    learnable_paper: int


def count_parameters(model: 'DCPCLIP') -> Parameters:
    """Count a DCPCLIP's parameters; it may be on the meta device."""
    modules = {'CLIP image': model.backbone, 'CLIP text': model.text_encoder,
               'alignment': model.neck, 'decoder': model.decode_head}
    if model.auxiliary_head is not None:
        modules['auxiliary head'] = model.auxiliary_head
    parts = {name: sum(p.numel() for p in module.parameters())
             for name, module in modules.items()}
    blocks = (*model.backbone.visual.transformer.resblocks,
              *model.text_encoder.text.transformer.resblocks)
    tuned = sum(block.attn.q_proj.weight.numel() + block.attn.v_proj.weight.numel()
                for block in blocks)
    return Parameters(
        parts=parts,
        total=sum(p.numel() for p in model.parameters()),
        learnable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        learnable_paper=tuned + sum(
            number for name, number in parts.items() if not name.startswith('CLIP')))


def describe_machine(device: str | torch.device = 'cpu') -> dict[str, str | int]:
    """Name what a measurement ran on.

    Args:
        device: Where it ran.

    Returns:
        dict: ``cpu``, ``threads``, ``device`` and ``torch``.
    """
    info = Path('/proc/cpuinfo')
    names = [line.partition(':')[2].strip() for line in info.read_text().splitlines()
             if line.startswith('model name')] if info.is_file() else []
    device = torch.device(device)
    return dict(
        cpu=names[0] if names else platform.processor() or platform.machine(),
        threads=torch.get_num_threads(),
        device=(torch.cuda.get_device_name(device) if device.type == 'cuda'
                else device.type),
        torch=torch.__version__)
