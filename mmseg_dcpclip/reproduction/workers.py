"""Runs a plan: some jobs at once, each in processes of its own."""

import os
import queue
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import torch

from ..files import write_json
from ..shipped import PACKAGE
from . import commands
from .plan import Plan, Run
from .settings import Settings, read_json, settings_digest
from .tables import FULL


def threads_of(settings: Settings) -> int:
    """Threads of each run; those at the same time share the cores."""
    if hasattr(os, 'sched_getaffinity'):  # on Linux
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // settings.jobs)


def environment(settings: Settings, slot: int) -> dict[str, str]:
    """Environment of the processes of a run.

    Args:
        settings: What is asked for.
        slot: Number of the worker; each has its share of the cores and GPUs.
    """
    # The processes are to find the very package that starts them.
    path = [str(PACKAGE.parent), os.environ.get('PYTHONPATH', '')]
    threads = str(threads_of(settings))
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, path)),
               OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
    gpus = settings.gpus
    if 'CUDA_VISIBLE_DEVICES' not in env and (
            torch.cuda.device_count() >= gpus * settings.jobs > gpus):
        env['CUDA_VISIBLE_DEVICES'] = ','.join(
            str(slot * gpus + i) for i in range(gpus))
    return env


def end(process: subprocess.Popen) -> None:
    """End a process and those it started."""
    if process.poll() is None:
        if hasattr(os, 'killpg'):
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()


class Workers:
    """Runs the jobs of a plan.

    Args:
        plan: With the jobs.
        say: Gets a line of text when something begins, ends or fails, from any
            thread.

    Attributes:
        failed: What has failed, in words.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan, self.settings, self.say = plan, plan.settings, say
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._processes: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(self.settings.jobs):
            self._slots.put(slot)

    def run(self) -> None:
        """Run all unfinished jobs; a failed one does not stop the others.

        An exception, as an interruption is one, ends the processes and goes on.
        """
        left = [job for job in self.plan.jobs if not job.finished()]
        with ThreadPoolExecutor(self.settings.jobs) as pool:
            waiting = {pool.submit(self._job, job) for job in left}
            try:
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    self.say(f'{len(left) - len(waiting)} of {len(left)} runs done')
            except BaseException:
                self._end_all()
                raise

    def efficiency(self) -> None:
        """Compute the figures of Table II, unless they are there for this model."""
        out = self.settings.out
        command = commands.efficiency_command(self.settings)
        digest = settings_digest([self.plan.load(FULL).model.to_dict(), command])
        record, figures = out / 'efficiency-record.json', out / 'efficiency.json'
        if figures.is_file() and read_json(record).get('digest') == digest:
            return
        figures.unlink(missing_ok=True)
        try:
            seconds = self._call('efficiency', command, out / 'efficiency.log', 0)
        except BaseException:
            self._end_all()
            raise
        if seconds is not None:
            write_json(record, dict(digest=digest, seconds=seconds))

    def _end_all(self) -> None:
        self._stop.set()
        with self._lock:
            for process in self._processes:
                end(process)

    def _job(self, job: Run) -> None:
        slot = self._slots.get()
        try:
            runs = job.folder.parent
            write_json(runs / 'settings.json', self.plan.training_settings[runs],
                       default=str)
            if self._train(job, slot):
                for name in job.tests:
                    if not job.tested(name):
                        self._test(job, name, slot)
        finally:
            self._slots.put(slot)

    def _train(self, job: Run, slot: int) -> bool:
        """Train if need be; whether the weights are there."""
        if job.trained():
            return True
        command = commands.train_command(self.settings, job, slot)
        seconds = self._call(f'train {job.config} seed {job.seed}', command,
                             job.folder / 'train.log', slot)
        if seconds is None:
            return False
        # Resuming needs the older ones no more.
        for path in (job.folder / 'train').glob('iter_*.pth'):
            if str(path) != job.checkpoint:
                path.unlink()
        write_json(job.folder / 'record.json', dict(
            config=job.config, seed=job.seed, digest=job.digest,
            jobs=self.settings.jobs, threads=threads_of(self.settings),
            command=shlex.join(command), wall_seconds=seconds,
            checkpoint=job.checkpoint) | read_json(job.folder / 'train' / 'cost.json'))
        return True

    def _test(self, job: Run, name: str, slot: int) -> None:
        command = commands.test_command(self.settings, job, name, slot)
        folder = job.folder / f'test-{name}'
        for old in ('record.json', 'benchmarks.json', 'cost.json'):
            (folder / old).unlink(missing_ok=True)
        seconds = self._call(f'test {name} seed {job.seed}', command,
                             job.folder / f'test-{name}.log', slot)
        if seconds is not None:
            write_json(folder / 'record.json', dict(
                config=name, seed=job.seed, digest=job.tests[name],
                command=shlex.join(command), wall_seconds=seconds,
                checkpoint=job.checkpoint))

    def _call(self, what: str, command: list[str], log: Path, slot: int
              ) -> float | None:
        """Run a command, its output into a file; seconds, None if it failed."""
        log.parent.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        with log.open('ab') as file:
            with self._lock:
                if self._stop.is_set():
                    return None
                self.say(f'{what} ...')
                process = subprocess.Popen(
                    command, stdout=file, stderr=subprocess.STDOUT,
                    env=environment(self.settings, slot), start_new_session=True)
                self._processes.add(process)
            code = process.wait()
        with self._lock:
            self._processes.discard(process)
        seconds = time.perf_counter() - start
        if self._stop.is_set():
            return None
        if code:
            tail = log.read_text(errors='replace').splitlines()[-5:]
            self.say(f'{what} FAILED with exit status {code}; see {log}:\n  '
                     + '\n  '.join(tail))
            self.failed.append(what)
            return None
        self.say(f'{what}: {seconds:.0f} s')
        return seconds
