"""The runs that tables need: which they are, where they lie, which are finished."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from ..evaluation.benchmarks import collect_benchmarks
from ..shipped import configs_folder
from .paper import make_table
from .settings import Settings, read_config, read_json, scaled_schedule, settings_digest
from .tables import WORLDS, table_config, training_of

# What decides the weights that come out, besides the seed, ...
TRAINING_KEYS = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler',
                 'train_cfg')
OPTIONAL_KEYS = ('custom_hooks', 'strategy')  # may change them as well
# ... without what the model does in tests only.
TEST_ONLY = ('test_cfg', 'tag_validation', 'refinement')


@dataclass
class Run:
    """One training with one seed, and the tests of what comes out.

    Attributes:
        config: Name of the configuration that is trained.
        seed: Of the training; a model that needs none has only the first.
        folder: Holds ``train``, ``record.json`` and a ``test-NAME`` per test.
        options: key=value for the commands.
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
        """What the tests load."""
        return str(self.folder / 'train' / f'iter_{self.iters}.pth') if (
            self.iters) else 'none'

    def trained(self) -> bool:
        """Whether the weights are there, with these settings."""
        record = read_json(self.folder / 'record.json')
        return not self.iters or (record.get('digest') == self.digest
                                  and Path(self.checkpoint).is_file())

    def tested(self, name: str) -> bool:
        """Whether the scores of a configuration are there, with these settings."""
        folder = self.folder / f'test-{name}'
        return (self.trained() and (folder / 'benchmarks.json').is_file() and
                read_json(folder / 'record.json').get('digest') == self.tests[name])

    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.trained() and all(map(self.tested, self.tests))

    def state(self) -> str:
        """How far it is, in words."""
        if self.finished():
            return 'finished'
        if self.trained():
            return 'to be tested' if self.iters == 0 else 'trained, to be tested'
        started = (self.folder / 'train' / 'last_checkpoint').is_file()
        return 'goes on from its last checkpoint' if started else 'to be run'


class Plan:
    """The runs of some tables.

    Args:
        settings: What is asked for.

    Attributes:
        settings: As given.
        tables: Plans of the tables, each once.
        jobs: All rows with one seed come before those with the next.
        training_settings: By folder of the seeds of one training.
        notices: What a reader of the plan should know.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tables = [make_table(number, settings.world)
                       for number in sorted(set(settings.tables))]
        self.notices: list[str] = []
        self.jobs: list[Run] = []
        self.training_settings: dict[Path, dict] = {}
        # Table II is computed without any training.
        for name in dict.fromkeys(name for table in self.tables if table.number != 2
                                  for name in table.configs()):
            self._add(name)
        # Whoever stops early can compare the rows.
        self.jobs.sort(key=lambda job: job.seed)

    @property
    def with_efficiency(self) -> bool:
        """Whether Table II is asked for."""
        return any(table.number == 2 for table in self.tables)

    def load(self, name: str, options: Sequence[str] = ()) -> Config:
        """Config of a configuration, with changes.

        Args:
            name: Of the configuration.
            options: key=value.
        """
        return read_config(
            table_config(name, self.settings.world, configs_folder()), options)

    def _options(self, name: str) -> list[str]:
        options = list(WORLDS[self.settings.world].options)
        if self.settings.iters:
            options += scaled_schedule(self.load(name), self.settings.iters)
        root = self.settings.data_root.get('coco_stuff_171')
        if root:
            options += [f'{split}_dataloader.dataset.data_root={root}'
                        for split in ('train', 'val')]
        return [*options, *self.settings.cfg_options]

    def _add(self, name: str) -> None:
        """Add the jobs of a configuration, or its test to those that are there."""
        trained = training_of(name)
        source = trained or name
        same = [job for job in self.jobs if job.config == source]
        if not same:
            same = self._new_jobs(source, needs_training=trained is not None)
            self.jobs += same
        settings = self._test_settings(name, same[0].options)
        for job in same:
            job.tests[name] = settings_digest([settings, job.digest])

    def _new_jobs(self, name: str, needs_training: bool) -> list[Run]:
        options = self._options(name)
        config = self.load(name, options)
        plain = config.to_dict()
        settings = {key: plain.get(key) for key in TRAINING_KEYS}
        settings |= {key: plain[key] for key in OPTIONAL_KEYS if plain.get(key)}
        settings['model'] = {key: value for key, value in plain['model'].items()
                             if key not in TEST_ONLY}
        digest = settings_digest(settings)
        folder = self.settings.out / 'runs' / f'{name}-{digest[:8]}'
        self._look_for_other_settings(name, folder, settings)
        self.training_settings[folder] = settings
        seeds = self.settings.seeds if needs_training else self.settings.seeds[:1]
        iters = config.train_cfg.max_iters if needs_training else 0
        return [Run(name, seed, folder / f'seed{seed}', options, digest, iters)
                for seed in dict.fromkeys(seeds)]

    def _look_for_other_settings(self, name: str, folder: Path, settings: dict) -> None:
        """Note the folders of the same configuration with other settings."""
        plain = json.loads(json.dumps(settings, default=str))
        for path in sorted(folder.parent.glob(f'{name}-{"?" * 8}/settings.json')):
            if path.parent != folder:
                old = read_json(path)
                changed = [key for key in plain if plain[key] != old.get(key)]
                self.notices.append(
                    f'{name}: {", ".join(changed)} changed since {path.parent}, which '
                    f'is left as it is; it runs anew in {folder}')

    def _test_settings(self, name: str, options: Sequence[str]) -> dict:
        """What decides the scores, besides the weights."""
        config = self.load(name, options)
        benchmarks = collect_benchmarks(
            config, WORLDS[self.settings.world].benchmarks,
            configs_folder() / '_base_' / 'datasets', test_roots(self.settings))
        return dict(
            model=config.model.to_dict(),
            benchmarks=[(b.name, b.dataloader, b.evaluator) for b in benchmarks])


def test_roots(settings: Settings) -> dict[str, str]:
    """The folders given that are those of benchmarks."""
    return {name: root for name, root in settings.data_root.items()
            if name in WORLDS['real'].benchmarks}
