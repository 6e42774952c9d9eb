#!/usr/bin/env python
"""Reproduce tables of the paper: run what is missing, print the paper's and ours.

    python tools/reproduce.py table3 table7 --world mini --seeds 0 1 2 3 4 --jobs 2
    python tools/reproduce.py all --world real --gpus 4

Interrupted, the same command goes on where it stopped. Runs that tables share are
trained once; finished ones are not repeated. Settings that changed train anew, in a
folder of their own.
"""

import argparse
import hashlib
import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from rich.console import Console
from rich.table import Table as RichTable

from mmseg_dcpclip.datasets.labels import write_atomic, write_json
from mmseg_dcpclip.evaluation import tables
from mmseg_dcpclip.evaluation.benchmarks import BENCHMARKS, collect_benchmarks
from mmseg_dcpclip.models.clip import load_clip_weights

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
TOTAL_BATCH = 4  # of the real world
CHECKPOINTS = 20  # written in the course of a training
# What decides the weights that come out, besides the seed.
TRAINING_KEYS = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler',
                 'train_cfg')


def digest_of(settings: object) -> str:
    """Hex digest of plain settings, the same whatever the order of keys."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def read_json(path: Path) -> dict:
    """Content of a file, {} if there is none."""
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}


def say(text: str) -> None:
    """Print a whole line at once, from any thread."""
    sys.stdout.write(f'{text}\n')
    sys.stdout.flush()


def parse_options(options: Sequence[str]) -> dict:
    """key=value as tools/train.py reads them."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='+', action=DictAction, default={})
    return parser.parse_args(['--options', *options] if options else []).options


def scaled_schedule(config: Config, iters: int) -> list[str]:
    """Options that shorten a training, its schedule in proportion."""
    old = config.train_cfg.max_iters
    options = [f'train_cfg.max_iters={iters}', f'train_cfg.val_interval={iters}']
    for i, scheduler in enumerate(config.param_scheduler):
        options += [f'param_scheduler.{i}.{key}={max(1, scheduler[key] * iters // old)}'
                    for key in ('begin', 'end', 'T_max') if scheduler.get(key)]
    return options


@dataclass
class Job:
    """One training with one seed, and the tests of what comes out.

    Attributes:
        config: Name of the configuration that is trained.
        seed: Of the training; a model that needs none has only the first.
        folder: Holds ``train``, ``record.json`` and a ``test-NAME`` per test.
        options: key=value for the tools.
        digest: Of the settings of the training.
        iters: Length of the training, 0: it needs none.
        tests: By name of the tested configuration the digest of its settings.
    """
    config: str
    seed: int
    folder: Path
    options: list[str]
    digest: str
    iters: int
    tests: dict[str, str] = field(default_factory=dict)

    @property
    def checkpoint(self) -> str:
        return str(self.folder / 'train' / f'iter_{self.iters}.pth') if (
            self.iters) else 'none'

    def trained(self) -> bool:
        record = read_json(self.folder / 'record.json')
        return not self.iters or (record.get('digest') == self.digest
                                  and Path(self.checkpoint).is_file())

    def tested(self, name: str) -> bool:
        folder = self.folder / f'test-{name}'
        return (self.trained() and (folder / 'benchmarks.json').is_file() and
                read_json(folder / 'record.json').get('digest') == self.tests[name])

    def finished(self) -> bool:
        return self.trained() and all(map(self.tested, self.tests))

    def state(self) -> str:
        """For the plan."""
        if self.finished():
            return 'finished'
        if self.trained():
            return 'to be tested' if self.iters == 0 else 'trained, to be tested'
        started = (self.folder / 'train' / 'last_checkpoint').is_file()
        return 'goes on from its last checkpoint' if started else 'to be run'


class Reproduction:
    """The runs of some tables.

    Args:
        args: As :func:`parse_args` returns them.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.out = Path(args.work_dir).resolve() / args.world
        self.numbers = sorted(set(args.tables))
        self.tables = [tables.make_table(n, args.world) for n in self.numbers]
        self.notices: list[str] = []
        self.jobs: list[Job] = []
        self.settings: dict[Path, dict] = {}  # of each folder of runs
        # Table II is computed without any training.
        for name in dict.fromkeys(name for table in self.tables if table.number != 2
                                  for name in table.configs()):
            self._add(name)
        # All rows with one seed first: whoever stops early can compare them.
        self.jobs.sort(key=lambda job: job.seed)

    # ----------------------------------------------------------------- plan

    def path(self, name: str) -> Path:
        return tables.config_path(name, self.args.world, CONFIGS)

    def load(self, name: str, options: Sequence[str] = ()) -> Config:
        config = Config.fromfile(self.path(name))
        config.merge_from_dict(parse_options(options))
        return config

    def _options(self, name: str) -> list[str]:
        options = []
        if self.args.iters:
            options += scaled_schedule(self.load(name), self.args.iters)
        root = self.args.data_root.get('coco_stuff_171')
        if root:
            options += [f'{split}_dataloader.dataset.data_root={root}'
                        for split in ('train', 'val')]
        return options + self.args.cfg_options

    def _add(self, name: str) -> None:
        """Add the jobs of a configuration, or its test to those that are there."""
        trained = tables.training_of(name)
        source = trained or name
        same = [job for job in self.jobs if job.config == source]
        if not same:
            same = self._new_jobs(source, needs_training=trained is not None)
            self.jobs += same
        settings = self._test_settings(name, same[0].options)
        for job in same:
            job.tests[name] = digest_of([settings, job.digest])

    def _new_jobs(self, name: str, needs_training: bool) -> list[Job]:
        options = self._options(name)
        config = self.load(name, options)
        plain = config.to_dict()
        settings = {key: plain.get(key) for key in TRAINING_KEYS}
        settings['model'].pop('test_cfg', None)
        digest = digest_of(settings)
        folder = self.out / 'runs' / f'{name}-{digest[:8]}'
        self._look_for_other_settings(name, folder, settings)
        self.settings[folder] = settings
        seeds = self.args.seeds if needs_training else self.args.seeds[:1]
        iters = config.train_cfg.max_iters if needs_training else 0
        return [Job(name, seed, folder / f'seed{seed}', options, digest, iters)
                for seed in seeds]

    def _look_for_other_settings(self, name: str, folder: Path, settings: dict) -> None:
        plain = json.loads(json.dumps(settings, default=str))
        for path in sorted(folder.parent.glob(f'{name}-{"?" * 8}/settings.json')):
            if path.parent != folder:
                old = read_json(path)
                changed = [key for key in plain if plain[key] != old.get(key)]
                self.notices.append(
                    f'{name}: {", ".join(changed)} changed since {path.parent}, which '
                    f'is left as it is; it runs anew in {folder}')

    def _test_settings(self, name: str, options: Sequence[str]) -> dict:
        config = self.load(name, options)
        benchmarks = collect_benchmarks(
            config, ['all'], CONFIGS / '_base_' / 'datasets', self._test_roots())
        return dict(
            model=config.model.to_dict(), hooks=config.custom_hooks,
            benchmarks=[(b.name, b.dataloader, b.evaluator) for b in benchmarks])

    def _test_roots(self) -> dict[str, str]:
        return {name: root for name, root in self.args.data_root.items()
                if name in BENCHMARKS}

    # ------------------------------------------------------------- commands

    def train_command(self, job: Job) -> list[str]:
        own = [f'randomness.seed={job.seed}',
               f'default_hooks.checkpoint.interval={max(1, job.iters // CHECKPOINTS)}',
               # Two: a checkpoint that is cut off while written leaves the other.
               'default_hooks.checkpoint.max_keep_ckpts=2',
               'default_hooks.cost.type=CostHook', 'default_hooks.cost.out=cost.json']
        if self.args.world == 'real':
            own.append(f'train_dataloader.batch_size={TOTAL_BATCH // self.args.gpus}')
        rest = ['--work-dir', str(job.folder / 'train'), '--resume', '--cfg-options',
                *own, *job.options]
        if self.args.gpus > 1:
            return ['bash', str(ROOT / 'tools' / 'dist_train.sh'),
                    str(self.path(job.config)), str(self.args.gpus), *rest]
        return [sys.executable, str(ROOT / 'tools' / 'train.py'),
                str(self.path(job.config)), *rest]

    def test_command(self, job: Job, name: str) -> list[str]:
        rest = ['--benchmarks', 'all', '--work-dir', str(job.folder / f'test-{name}')]
        roots = self._test_roots().items()
        if roots:
            rest += ['--data-root', *(f'{name}={root}' for name, root in roots)]
        rest += ['--cfg-options', 'default_hooks.cost.type=CostHook',
                 'default_hooks.cost.out=cost.json', *job.options]
        if self.args.gpus > 1:
            return ['bash', str(ROOT / 'tools' / 'dist_test.sh'), str(self.path(name)),
                    job.checkpoint, str(self.args.gpus), *rest]
        return [sys.executable, str(ROOT / 'tools' / 'test.py'), str(self.path(name)),
                job.checkpoint, *rest]

    def efficiency_command(self) -> list[str]:
        """Table II's figures; random weights, so neither data nor CLIP is needed."""
        command = [sys.executable, str(ROOT / 'tools' / 'benchmark.py'), '--efficiency',
                   '--device', 'cuda' if torch.cuda.is_available() else 'cpu',
                   '--json', str(self.out / 'efficiency.json')]
        if self.args.world == 'mini':
            command += ['--config', str(self.path(tables.FULL)), '--size', '96']
        return command

    def print_plan(self, with_commands: bool) -> None:
        for notice in self.notices:
            print(f'NOTE: {notice}')
        for job in self.jobs:
            print(f'{job.config} seed {job.seed}: {job.state()}; {job.folder}')
            if with_commands and not job.trained():
                print('  ' + shlex.join(self.train_command(job)))
            for name in job.tests:
                if with_commands and not job.tested(name):
                    print('  ' + shlex.join(self.test_command(job, name)))
        if 2 in self.numbers and with_commands:
            print('efficiency\n  ' + shlex.join(self.efficiency_command()))
        left = sum(not job.finished() for job in self.jobs)
        print(f'{len(self.jobs)} runs, {left} of them not finished')

    # -------------------------------------------------------------- results

    def records(self) -> dict[str, dict[int, dict]]:
        """Of all finished trainings and tests with these settings."""
        found: dict[str, dict[int, dict]] = {}
        for job in self.jobs:
            for name in filter(job.tested, job.tests):
                folder = job.folder / f'test-{name}'
                rows = [row for row in read_json(folder / 'benchmarks.json')[
                    'benchmarks'] if row['scores']]
                costs = read_json(folder / 'cost.json').get('tests', [])
                tests = {row['name']: dict(
                    scores=row['scores'], images=row['images'],
                    seconds_per_image=cost.get('seconds_per_image'))
                    for row, cost in zip(rows, costs or [{}] * len(rows))}
                found.setdefault(name, {})[job.seed] = dict(
                    folder=str(job.folder), tests=tests, digest=job.tests[name],
                    train=read_json(job.folder / 'record.json') or None)
        return found

    def efficiency(self, records: dict) -> dict[str, dict[str, float]]:
        """What was computed of our rows of Table II."""
        figures = {}
        for row in read_json(self.out / 'efficiency.json').get('efficiency', []):
            full = row['model'] == tables.WORLDS[self.args.world].full
            name = tables.FULL if full else row['model']
            own = figures[name] = dict(
                learnable=row['learnable_paper_m'], total=row['total_m'],
                seconds=row['seconds']['median'], gflops=row['gflops'])
            benchmark = tables.WORLDS[self.args.world].benchmarks[2]
            for key, factor, measure in (('train_minutes', 60, 'train_seconds'),
                                         ('mIoU', 1, 'mIoU')):
                values = [tables.measure(record, measure, benchmark)
                          for record in records.get(name, {}).values()]
                known = [value for value in values if value is not None]
                if known:
                    own[key] = sum(known) / len(known) / factor
        return figures

    def write_tables(self, console: Console) -> None:
        """Print every table asked for and write it as JSON and Markdown."""
        records = self.records()
        for table in self.tables:
            figures, notes = None, []
            if table.number == 2:
                figures = self.efficiency(records)
                notes = ['GFLOPs: 1e9 multiply-adds. Learnable: counted the paper\'s '
                         'way, with q and v of both CLIP towers.']
            if table.number == 7:
                kinds = {r['train']['memory'] for runs in records.values()
                         for r in runs.values() if r['train']}
                jobs = {r['train']['jobs'] for runs in records.values()
                        for r in runs.values() if r['train']}
                notes = [f'Memory: peak of {", ".join(sorted(kinds)) or "not run"}. '
                         'Recall and selected: of the first benchmark. Runs at once '
                         f'while timed: {", ".join(map(str, sorted(jobs))) or "-"}.']
            content = tables.report(table, self.args.world, records, self.args.seeds,
                                    figures) | dict(notes=notes)
            stem = self.out / f'table{table.number}'
            write_json(stem.with_suffix('.json'), content)
            write_atomic(stem.with_suffix('.md'), tables.markdown(content).encode())
            for caption, (head, *body) in tables.grids(content).items():
                grid = RichTable(*head, title=f'Table {table.number}, {table.title}, '
                                 f'{self.args.world} world: {caption}')
                for line in body:
                    grid.add_row(*line)
                console.print(grid)
            for note in (content['rule'], *notes):
                console.print(note)
            console.print(f'written to {stem}.json and .md', soft_wrap=True)


class Workers:
    """Runs jobs, some at once, each in processes of its own.

    Args:
        plan: With the jobs.
    """

    def __init__(self, plan: Reproduction) -> None:
        self.plan, self.args = plan, plan.args
        self.stop = threading.Event()
        self.processes: set[subprocess.Popen] = set()
        self.lock = threading.Lock()
        self.slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(self.args.jobs):
            self.slots.put(slot)
        self.failed: list[str] = []

    def run(self) -> None:
        """Run all unfinished jobs; a failed one does not stop the others."""
        left = [job for job in self.plan.jobs if not job.finished()]
        with ThreadPoolExecutor(self.args.jobs) as pool:
            waiting = {pool.submit(self._job, job) for job in left}
            try:
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    say(f'{len(left) - len(waiting)} of {len(left)} runs done')
            except BaseException:
                self.stop.set()
                with self.lock:
                    for process in self.processes:
                        end(process)
                raise

    def _job(self, job: Job) -> None:
        slot = self.slots.get()
        try:
            runs = job.folder.parent
            write_json(runs / 'settings.json', self.plan.settings[runs], default=str)
            if self._train(job, slot):
                for name in job.tests:
                    if not job.tested(name):
                        self._test(job, name, slot)
        finally:
            self.slots.put(slot)

    def _train(self, job: Job, slot: int) -> bool:
        if job.trained():
            return True
        command = self.plan.train_command(job)
        seconds = self._call(f'train {job.config} seed {job.seed}', command,
                             job.folder / 'train.log', slot)
        if seconds is None:
            return False
        # Resuming needs the older ones no more.
        for path in (job.folder / 'train').glob('iter_*.pth'):
            if str(path) != job.checkpoint:
                path.unlink()
        write_json(job.folder / 'record.json', dict(
            config=job.config, seed=job.seed, digest=job.digest, jobs=self.args.jobs,
            threads=self.threads, command=shlex.join(command), wall_seconds=seconds,
            checkpoint=job.checkpoint) | read_json(job.folder / 'train' / 'cost.json'))
        return True

    def _test(self, job: Job, name: str, slot: int) -> None:
        command = self.plan.test_command(job, name)
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

    def efficiency(self) -> None:
        """Compute the figures of Table II, unless they are there for this model."""
        record, out = self.plan.out / 'efficiency-record.json', self.plan.out
        digest = digest_of([self.plan.load(tables.FULL).model.to_dict(),
                            self.plan.efficiency_command()])
        if (out / 'efficiency.json').is_file() and (
                read_json(record).get('digest') == digest):
            return
        (out / 'efficiency.json').unlink(missing_ok=True)
        done = self._call('efficiency', self.plan.efficiency_command(),
                          out / 'efficiency.log', 0)
        if done is not None:
            write_json(record, dict(digest=digest, seconds=done))

    @property
    def threads(self) -> int:
        return max(1, len(os.sched_getaffinity(0)) // self.args.jobs) if hasattr(
            os, 'sched_getaffinity') else max(1, os.cpu_count() // self.args.jobs)

    def _environment(self, slot: int) -> dict[str, str]:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))
        # The scripts for several GPUs call plain 'python'.
        bins = os.pathsep.join((str(Path(sys.executable).parent), os.environ['PATH']))
        env = dict(os.environ, PATH=bins, PYTHONPATH=path, PORT=str(29500 + slot),
                   OMP_NUM_THREADS=str(self.threads), MKL_NUM_THREADS=str(self.threads))
        gpus = self.args.gpus
        if 'CUDA_VISIBLE_DEVICES' not in env and (
                torch.cuda.device_count() >= gpus * self.args.jobs > gpus):
            env['CUDA_VISIBLE_DEVICES'] = ','.join(
                str(slot * gpus + i) for i in range(gpus))
        return env

    def _call(self, what: str, command: list[str], log: Path, slot: int
              ) -> float | None:
        """Run a command, its output into a file; seconds, None if it failed."""
        log.parent.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        with log.open('ab') as file:
            with self.lock:
                if self.stop.is_set():
                    return None
                say(f'{what} ...')
                process = subprocess.Popen(
                    command, stdout=file, stderr=subprocess.STDOUT,
                    env=self._environment(slot), start_new_session=True)
                self.processes.add(process)
            code = process.wait()
        with self.lock:
            self.processes.discard(process)
        seconds = time.perf_counter() - start
        if self.stop.is_set():
            return None
        if code:
            tail = log.read_text(errors='replace').splitlines()[-5:]
            say(f'{what} FAILED with exit status {code}; see {log}:\n  '
                + '\n  '.join(tail))
            self.failed.append(what)
            return None
        say(f'{what}: {seconds:.0f} s')
        return seconds


def end(process: subprocess.Popen) -> None:
    """End a process and those it started."""
    if process.poll() is None:
        if hasattr(os, 'killpg'):
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()


def check_real(plan: Reproduction) -> bool:
    """Look for the data and CLIP weights of the plan; print what is missing."""
    command = [sys.executable, str(ROOT / 'tools' / 'check_data.py')]
    if plan.args.data_root:
        command += ['--data-root',
                    *(f'{k}={v}' for k, v in plan.args.data_root.items())]
    complete = subprocess.run(command).returncode == 0
    models = {(tower.model_name, tower.pretrained) for job in plan.jobs for config in
              [plan.load(job.config, job.options)] for tower in
              (config.model.backbone, config.model.text_encoder)}
    for name, pretrained in sorted(models, key=str):
        try:
            if pretrained is not None:
                load_clip_weights(name, pretrained)
        except (ValueError, OSError, RuntimeError) as error:
            complete = False
            print(f'CLIP {name}: {error}')
    return complete


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [f'table{i}' for i in range(1, 8)]
    parser.add_argument('tables', nargs='+', choices=[*names, 'all'], metavar='table',
                        help='table1 to table7, or all')
    parser.add_argument('--world', choices=list(tables.WORLDS), default='mini',
                        help="the small drawn world, or the paper's data")
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2, 3, 4])
    parser.add_argument('--work-dir', default='work_dirs/reproduce')
    parser.add_argument('--iters', type=int,
                        help='iterations of each training, for quick trials')
    parser.add_argument('--jobs', type=int, default=1,
                        help='runs at once; they share the cores')
    parser.add_argument('--gpus', type=int, default=1,
                        help='of one run, by tools/dist_train.sh')
    parser.add_argument('--data-root', nargs='+', action=DictAction, default={},
                        metavar='NAME=FOLDER', help='as for tools/check_data.py')
    parser.add_argument('--dry-run', action='store_true',
                        help='print the plan and its commands only')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help='changes of all configs, for training and tests')
    args = parser.parse_args(argv)
    if 'all' in args.tables:
        args.tables = names
    args.tables = [int(name.removeprefix('table')) for name in args.tables]
    args.seeds = list(dict.fromkeys(args.seeds))
    if min(args.jobs, args.gpus, args.iters or 1) < 1:
        parser.error('--jobs, --gpus and --iters must be at least 1')
    if args.world == 'real' and TOTAL_BATCH % args.gpus:
        parser.error(f'--gpus {args.gpus}: the total batch of {TOTAL_BATCH} is not '
                     'divisible by it')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    plan = Reproduction(args)
    plan.print_plan(with_commands=args.dry_run)
    if args.world == 'real' and plan.jobs and not check_real(plan):
        print('not started: complete the data and weights above, then give the same '
              'command again')
        return 1
    if args.dry_run:
        return 0
    workers, interrupted = Workers(plan), False
    try:
        workers.run()
        if 2 in plan.numbers:
            workers.efficiency()
    except KeyboardInterrupt:
        interrupted = True
    # Tables are wide: as many columns as needed, in a pipe as well.
    plan.write_tables(Console(width=max(Console().width, 160)))
    if interrupted:
        print('interrupted; the same command goes on from the last checkpoints')
        return 130
    if workers.failed:
        print(f'failed: {", ".join(workers.failed)}; the same command tries again')
        return 1
    return 0


def _interrupt(*_) -> None:
    raise KeyboardInterrupt


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
