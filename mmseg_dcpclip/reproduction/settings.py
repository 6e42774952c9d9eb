"""What is asked for when tables are reproduced, and options of configs as text."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mmengine.config import Config, DictAction

from ..engine import apply_variables

TOTAL_BATCH = 4  # of the real world


@dataclass(frozen=True)
class Settings:
    """What is asked for.

    Attributes:
        tables: Their numbers, 1 to 8.
        world: Key of ``WORLDS``.
        seeds: Of each training.
        work_dir: Gets a folder per world.
        iters: Iterations of each training, None: as its config says.
        jobs: Runs at once; they share the cores.
        gpus: Of one run.
        data_root: Where datasets lie that are not where their configs say.
        cfg_options: Changes of all configs, each as key=value.

    Raises:
        ValueError: A number is too small, or the batch cannot be shared out.
    """
    tables: Sequence[int]
    world: str = 'mini'
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    work_dir: Path = Path('work_dirs/reproduce')
    iters: int | None = None
    jobs: int = 1
    gpus: int = 1
    data_root: Mapping[str, str] = field(default_factory=dict)
    cfg_options: Sequence[str] = ()

    def __post_init__(self) -> None:
        least = min(self.jobs, self.gpus, 1 if self.iters is None else self.iters)
        if least < 1:
            raise ValueError('jobs, gpus and iters must be at least 1')
        if self.world == 'real' and TOTAL_BATCH % self.gpus:
            raise ValueError(f'gpus {self.gpus}: the total batch of {TOTAL_BATCH} is '
                             'not divisible by it')

    @property
    def out(self) -> Path:
        """Folder of this world's runs and tables."""
        return Path(self.work_dir).resolve() / self.world


def parse_options(options: Sequence[str]) -> dict:
    """key=value as the command ``train`` reads them.

    Raises:
        ValueError: There is no '=' in one.
    """
    for option in options:
        if '=' not in option:
            raise ValueError(f'option {option!r} is not of the form KEY=VALUE')
    found = SimpleNamespace(options={})
    DictAction(['--cfg-options'], 'options', nargs='+')(None, found, options)
    return found.options


def merge_options(config: Config, options: Mapping[str, Any]) -> None:
    """Change a config in place.

    Raises:
        ValueError: A change does not fit, or takes effect nowhere.
    """
    try:
        config.merge_from_dict(dict(options))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{config.filename} cannot be changed as --cfg-options say: '
                         f'{error}') from error
    apply_variables(config)


def read_config(path: Path, options: Sequence[str] = ()) -> Config:
    """A config with changes given as key=value."""
    config = Config.fromfile(path)
    merge_options(config, parse_options(options))
    return config


def scaled_schedule(config: Config, iters: int) -> list[str]:
    """Options that shorten a training, its schedule in proportion."""
    old = config.train_cfg.max_iters
    options = [f'train_cfg.max_iters={iters}', f'train_cfg.val_interval={iters}']
    for i, scheduler in enumerate(config.param_scheduler):
        options += [f'param_scheduler.{i}.{key}={max(1, scheduler[key] * iters // old)}'
                    for key in ('begin', 'end', 'T_max') if scheduler.get(key)]
    return options


def settings_digest(settings: object) -> str:
    """Hex digest of plain settings, the same whatever the order of keys."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def read_json(path: Path) -> dict:
    """Content of a file, {} if there is none."""
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
