"""Trains a toy model for a few steps and writes losses and weights; see test_train.py.

The pictures are augmented, and some of them are labelled in part only.

Usage: ddp_worker.py OUT BATCH_SIZE LAUNCHER [ddp|fsdp]
"""

import json
import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[1])]

import toys  # noqa: E402
from mmcv.transforms import BaseTransform  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.dist import all_reduce, is_main_process  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from mmseg.registry import TRANSFORMS  # noqa: E402
from torch.distributed.fsdp import FullyShardedDataParallel  # noqa: E402

from mmseg_dcpclip.engine import (  # noqa: E402
    bare_model,
    end_processes,
    runner_class,
)

STEPS = 4
IGNORED = (0, 30, 12, 32, 31, 0, 3, 20)  # upper rows of the 32 of each picture


@TRANSFORMS.register_module()
class IgnoreRows(BaseTransform):
    """Takes the labels from a part of the picture that differs between pictures."""

    def transform(self, results):
        results['gt_seg_map'][:IGNORED[results['sample_idx']]] = 65535
        return results


PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
            dict(type='IgnoreRows'), dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'), dict(type='PackSegInputs')]


# Sharded, its blocks computed again in the backward pass, the weights gathered.
FSDP = dict(
    runner_type='AnywhereFlexibleRunner', model=dict(backbone=dict(with_cp=True)),
    strategy=dict(type='CLIPFSDPStrategy', state_dict_cfg='full'),
    default_hooks=dict(checkpoint=dict(
        type='ResumableCheckpointHook', by_epoch=False, interval=STEPS)))


class Record(Hook):
    """Losses averaged over the processes."""

    def __init__(self) -> None:
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = outputs['loss'].detach().clone()
        all_reduce(loss, 'mean')
        self.losses.append(loss.item())


def main() -> None:
    out, batch_size, launcher = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    init_default_scope('mmseg')
    torch.manual_seed(0)
    record = Record()
    config = Config(dict(
        model=toys.toy_model_config(vocabulary='mini-20', ignore_index=65535),
        work_dir=str(out.parent / out.stem), launcher=launcher, default_scope='mmseg',
        randomness=dict(seed=1), log_level='ERROR',
        train_dataloader=dict(
            batch_size=batch_size, num_workers=0,
            sampler=dict(type='InfiniteSampler', shuffle=False),
            dataset=dict(type='MiniWorldDataset', categories='mini-20', side=32,
                         num_pictures=8, pipeline=PIPELINE, ignore_index=65535)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=STEPS),
        # An eps above the rounding of gradients that should be 0: their steps, too,
        # are about the same whatever the order of sums.
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2, eps=1e-4)),
        custom_hooks=[dict(type='VocabularyHook')]))
    if launcher != 'none':  # pairs in parts, computed again in the backward pass
        config.model.train_cfg = dict(max_places=40)
    if 'fsdp' in sys.argv:
        config.merge_from_dict(FSDP)
    runner = runner_class(config).from_cfg(config)
    runner.register_hook(record)
    runner.train()
    if 'fsdp' in sys.argv:
        shards = [name for name, m in runner.model.named_modules()
                  if isinstance(m, FullyShardedDataParallel)]
        assert len(shards) == 5, shards  # the model and all blocks but the last
    if 'fsdp' in sys.argv and is_main_process():
        out.write_text(json.dumps(record.losses))
    elif is_main_process():
        out.write_text(json.dumps(record.losses))
        torch.save(bare_model(runner).state_dict(), out.with_suffix('.pth'))
    end_processes()


if __name__ == '__main__':
    main()
