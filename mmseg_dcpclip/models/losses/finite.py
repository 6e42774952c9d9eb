"""Stops a training whose loss is no number, before it spoils the weights."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import MessageHub
from mmseg.structures import SegDataSample
from torch import Tensor


def check_finite(losses: Mapping[str, Tensor], data_samples: Sequence[SegDataSample]
                 ) -> None:
    """Refuse losses that are NaN or infinite.

    It looks at the losses, not at gradients: with a scaled loss (AMP) infinite
    gradients are normal now and then, and their step is left out.

    Args:
        losses: Scalars by name, as in the log; only names with 'loss' are looked at.
        data_samples: Of the batch, for the names of its images.

    Raises:
        FloatingPointError: Names losses, iteration, images and remedies.
    """
    # One look at the device for all of them.
    names = [name for name in losses if 'loss' in name]
    if not names or torch.stack(
            [losses[name].detach().float().sum() for name in names]).isfinite().all():
        return
    values = ', '.join(f'{name} {float(losses[name].detach().sum()):g}'
                       for name in names)
    images = ', '.join(
        str(sample.metainfo.get('img_path', sample.metainfo.get(
            'sample_idx', 'a sample without img_path'))) for sample in data_samples)
    iteration = MessageHub.get_current_instance().get_info('iter', 0) + 1
    raise FloatingPointError(
        f'the loss is no number at iteration {iteration} ({values}) with the images '
        f'{images}. The weights have not seen this batch: go on from the last '
        'checkpoint (tools/train.py --resume). If these images and labels are sound, '
        'lower optim_wrapper.optimizer.lr, set optim_wrapper.clip_grad='
        "dict(max_norm=1.0), or train without --amp")
