"""Writes down what a run costs: seconds and memory."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...files import write_json


def process_memory() -> dict[str, float | str]:
    """Most memory so far: ``GiB``, and ``kind``, which memory that is."""
    if torch.cuda.is_available():
        return dict(GiB=torch.cuda.max_memory_allocated() / 2**30, kind='CUDA tensors')
    import resource  # not on Windows
    unit = 1 if sys.platform == 'darwin' else 1024  # bytes there, KiB on Linux
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return dict(GiB=peak / 2**30, kind='resident memory of the process')


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@HOOKS.register_module()
class CostHook(Hook):
    """Writes seconds and peak memory of training or testing as JSON.

    Training: seconds of all iterations with their data, without validation; they go
    on counting when a run is resumed. Testing: seconds per image of each test set in
    its turn, from the batch to the prediction, without the first batch, which warms up.

    Args:
        out: The JSON file, below the runner's work dir unless absolute.
    """

    def __init__(self, out: str) -> None:
        self.out = Path(out)
        self.tests: list[dict] = []
        self._mark = 0.0

    def before_run(self, runner: Runner) -> None:
        self.out = Path(runner.work_dir) / self.out

    def _write(self, content: dict) -> None:
        if is_main_process():
            write_json(self.out, content)

    # --------------------------------------------------------------- training

    def before_train_epoch(self, runner: Runner) -> None:
        self._mark = time.perf_counter()

    def after_val(self, runner: Runner) -> None:
        self._mark = time.perf_counter()

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        # The message hub is part of every checkpoint: a resumed run goes on counting.
        hub, now = runner.message_hub, time.perf_counter()
        hub.update_info('cost_seconds',
                        hub.get_info('cost_seconds', 0.0) + now - self._mark)
        hub.update_info('cost_GiB',
                        max(hub.get_info('cost_GiB', 0.0), process_memory()['GiB']))
        self._mark = now

    def after_train(self, runner: Runner) -> None:
        hub = runner.message_hub
        self._write(dict(
            iterations=runner.iter, seconds=hub.get_info('cost_seconds', 0.0),
            GiB=hub.get_info('cost_GiB', 0.0), memory=process_memory()['kind'],
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
        ))

    # ---------------------------------------------------------------- testing

    def before_test_epoch(self, runner: Runner) -> None:
        self._seconds, self._images = 0.0, 0

    def before_test_iter(self, runner: Runner, batch_idx: int,
                         data_batch: dict | None = None) -> None:
        self._mark = _now()

    def after_test_iter(self, runner: Runner, batch_idx: int,
                        data_batch: dict | None = None,
                        outputs: Sequence | None = None) -> None:
        if batch_idx:
            self._seconds += _now() - self._mark
            self._images += len(outputs or ())

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self.tests.append(dict(
            images=self._images, batch_size=runner.test_dataloader.batch_size,
            seconds_per_image=self._seconds / self._images if self._images else None))
        self._write(dict(tests=self.tests) | process_memory())
