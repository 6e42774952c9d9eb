"""MMEngine's Runner on machines with and without CUDA, and after a kill."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.runner import Runner
from mmseg.registry import RUNNERS
from torch import nn
from torch.utils.data import DataLoader

from ..files import atomic
from ..models.weight_files import read_weight_file
from ..models.weight_routes import naming, read_checkpoint
from .cpu import prepare_cpu
from .hooks.vocabulary_hook import bare_model
from .numbered_data import NumberedTrainingMixin
from .resuming import check_resumable, find_resumable
from .variables import apply_variables


def runner_class(config: Config) -> Any:
    """The runner that a config's ``runner_type`` names; without one AnywhereRunner.

    Raises:
        ValueError: There is no such runner.
    """
    kind = config.get('runner_type') or AnywhereRunner
    found = RUNNERS.get(kind) if isinstance(kind, str) else kind
    if found is None:
        raise ValueError(f'there is no runner_type {kind!r}: register it and name its '
                         'module in custom_imports')
    return found


@RUNNERS.register_module()
class AnywhereRunner(NumberedTrainingMixin, Runner):
    """The Runner that trains without CUDA, too, and resumes as if nothing had been.

    MMEngine asks for a CUDA device as soon as there are several processes; without
    one these talk through gloo. Checkpoints appear whole or not at all. ``resume``
    takes the newest sound checkpoint of the work dir and the seed in it, and each
    sample is augmented by seed and place, see ``numbered_data``. With
    ``runner_type='AnywhereRunner'`` in a config the tools of mmseg build this one.
    Variables of dataset configs that were set anew take effect, see
    ``apply_variables``.
    """
    _load_from: str | None
    _train_dataloader: Any

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'AnywhereRunner':
        """Build a runner from a config, which is not changed."""
        config = deepcopy(cfg)  # a copy of its own would share what lies deeper
        apply_variables(config)
        prepare_cpu(config)
        return super().from_cfg(config)

    def train(self) -> nn.Module:
        """Train, from where a sound checkpoint ends if that is wanted.

        Raises:
            WeightFileError: The checkpoint cannot be resumed, or none is sound.
        """
        if self._resume:
            self._choose_checkpoint()
        return super().train()

    def test(self) -> dict:
        """Test; with ``compile`` in the config the image encoder is compiled."""
        if hasattr(bare_model(self), 'compile_blocks'):
            self._maybe_compile('test_step')
        return super().test()

    def _maybe_compile(self, target: str) -> None:
        """Compile as the config's ``compile`` says: of our models the blocks."""
        model, options = bare_model(self), self.cfg.get('compile')
        if not hasattr(model, 'compile_blocks') or options in (None, False):
            super()._maybe_compile(target)
            return
        number = model.compile_blocks(**({} if options is True else options))
        self.logger.info(f'{number} blocks of the image encoder are compiled when they '
                         'first run.')

    def _choose_checkpoint(self) -> None:
        """Set what ``load_or_resume`` reads, and the seed before the data are built."""
        if self._load_from is None:
            found: list[Any] = [find_resumable(self.work_dir) if is_main_process()
                                else None]
            broadcast_object_list(found)
            for why in found[0].skipped.values():
                self.logger.warning(f'Not resumed: {why}')
            if found[0].path is None:
                self.logger.warning(f'There is no checkpoint in {self.work_dir} to '
                                    'resume: the training starts anew.')
                self._resume = False
                return
            self._load_from = str(found[0].path)
        path = self._load_from
        checkpoint = (read_weight_file(path, mmap=True) if Path(path).is_file()
                      else read_checkpoint(path))
        check_resumable(checkpoint, path)
        self.logger.info(f'Resuming from {path}')
        configured = self._randomness_cfg.get('seed')
        seed = checkpoint['meta'].get('seed')
        if seed is not None and seed != configured:
            if configured is not None:
                self.logger.warning(f'The training goes on with its seed {seed}, not '
                                    f'with randomness.seed={configured}.')
            self._randomness_cfg.update(seed=seed)
            self.set_randomness(**self._randomness_cfg)

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, seed: int | None = None,
                         diff_rank_seed: bool = False) -> DataLoader:
        """Build a dataloader whose iterators draw no number of the training's."""
        loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        if loader.generator is None:
            loader.generator = torch.Generator()
        return loader

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Load a checkpoint as MMEngine does.

        Raises:
            WeightsError: It does not fit; names the file.
        """
        with naming(filename):
            return super().load_checkpoint(filename, *args, **kwargs)

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any,
                        backend_args: dict | None = None, **kwargs: Any) -> None:
        """Write a checkpoint as MMEngine does, a file on a disk whole or not at all."""
        kwargs['backend_args'] = backend_args
        backend = get_file_backend(out_dir, backend_args=backend_args)
        if not isinstance(backend, LocalBackend):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with atomic(backend.join_path(out_dir, filename)) as temporary:
            super().save_checkpoint(out_dir, temporary.name, *args, **kwargs)
