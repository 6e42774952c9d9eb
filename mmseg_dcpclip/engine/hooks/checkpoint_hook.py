"""Checkpoints that survive a kill and resume to the bit."""

from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import (
    all_gather_object,
    get_rank,
    get_world_size,
    is_main_process,
    master_only,
)
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...files import remove_leftovers, write_atomic
from ..random_state import get_random_state, set_random_state

STATES = 'random_states'  # in the checkpoint's ``meta``


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """MMEngine's hook, with random states, and old files removed after the new one.

    Files appear whole where the Runner writes them so, as ``AnywhereRunner`` does. The
    states of all processes' random number generators are kept in a checkpoint and come
    back on resume; a validation leaves them alone, as a resumed run may not repeat it.
    Takes the arguments of ``CheckpointHook``.
    """
    keep_ckpt_ids: deque

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._resumed: dict[str, Any] | None = None
        self._before_val: dict[str, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        if is_main_process():
            remove_leftovers(runner.work_dir, 'last_checkpoint')
            if '://' not in self.out_dir:
                remove_leftovers(self.out_dir, '*.pth')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the states until the first step; starting from weights needs none."""
        if not runner._resume:
            return
        states = checkpoint['meta'].get(STATES)
        if states is not None and len(states) == get_world_size():
            self._resumed = states[get_rank()]
        else:
            runner.logger.warning(
                'The checkpoint has no states of random number generators for '
                f'{get_world_size()} processes: theirs begin anew.')

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        # Only now: what is set up before may draw numbers.
        if self._resumed is not None:
            set_random_state(self._resumed)
            self._resumed = None

    def before_val(self, runner: Runner) -> None:
        self._before_val = get_random_state()

    def after_val(self, runner: Runner) -> None:
        if self._before_val is not None:
            set_random_state(self._before_val)
        self._before_val = None

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Write the checkpoint, point to it, and only then remove the oldest."""
        kept: list[int] = []
        if self.max_keep_ckpts > 0:
            kept = [other for other in self.keep_ckpt_ids if other != step] + [step]
            runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        meta[STATES] = all_gather_object(get_random_state())
        runner.save_checkpoint(
            self.out_dir, name, self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler, meta=meta,
            by_epoch=self.by_epoch, backend_args=self.backend_args, **self.args)
        if is_main_process():
            write_atomic(Path(runner.work_dir, 'last_checkpoint'),
                         str(self.last_ckpt).encode())
        if self.max_keep_ckpts > 0:
            while len(kept) > self.max_keep_ckpts:
                self._remove(self.file_backend.join_path(
                    self.out_dir, self.filename_tmpl.format(kept.pop(0))))
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', kept)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Write the new best checkpoint, and only then remove the one before."""
        several: Any = vars(self).get('best_ckpt_path_dict')
        # MMEngine's hook removes what stands here before it writes.
        before = {'': vars(self).get('best_ckpt_path')} if several is None else dict(
            several)
        if several is None:
            self.best_ckpt_path = None
        else:
            several.update(dict.fromkeys(several))
        super()._save_best_checkpoint(runner, metrics)
        for key, path in before.items():
            new = self.best_ckpt_path if several is None else several[key]
            if new is None and several is None:
                self.best_ckpt_path = path
            elif new is None:
                several[key] = path
            elif path and path != new:
                self._remove(path)

    @master_only
    def _remove(self, path: str) -> None:
        """Remove a checkpoint, which is a folder where deepspeed wrote it."""
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)
