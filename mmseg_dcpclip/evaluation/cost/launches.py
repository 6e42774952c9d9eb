"""Kernels and waits of whole predictions, counted on a simulated GPU.

A fast GPU waits for the host, so their number decides the time of a picture there.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.structures import SegDataSample

from ...models import DCPCLIP, TagValidation
from ...vocabulary import Vocabulary
from .simulated_device import SimulatedDevice
from .stand_ins import FixedSelection, RandomBank

WHOLE = dict(mode='whole')


def launch_rows(model: DCPCLIP, classes: int, selected: int, size: int,
                pictures: Sequence[int] = (1, 8)) -> list[dict[str, Any]]:
    """Count what predictions launch, from pixels to label maps on the device.

    Args:
        model: On the CPU; it is changed.
        classes: Number of random words.
        selected: Selected categories per picture.
        size: Side of the pictures in pixels, a multiple of 12; of five views that of
            each, from a picture 5/3 as large.
        pictures: Sizes of the batches without further looks.

    Returns:
        list: Rows with ``case``, ``encoder`` (kernels of the image encoder alone),
        ``beyond`` (all others) and ``synchronisations`` (times that the host waits).
    """
    side, stride = size * 5 // 3, size * 2 // 3
    views = dict(mode='slide', crop_size=(size, size), stride=(stride, stride))
    again = TagValidation(seen=[])  # every region is judged
    cases: list[tuple[str, int, int, dict, TagValidation | None]] = [
        (f'{n} picture{"s" * (n > 1)}', n, size, WHOLE, None) for n in pictures]
    cases += [('1 picture, tag validation', 1, size, WHOLE, again),
              ('1 picture, five views', 1, side, views, None),
              ('1 picture, five views, tag validation', 1, side, views, again)]
    own, rows = model.selection, []
    with SimulatedDevice() as device, torch.no_grad():
        model.set_vocabulary(Vocabulary([f'word {i}' for i in range(classes)]))
        model.to('cuda:0').eval()
        model.text_bank = RandomBank(model, classes, 'cuda:0')  # type: ignore[assignment]
        for case, count, side, test_cfg, validation in cases:
            model.test_cfg, model.tag_validation = test_cfg, validation
            model.selection = FixedSelection(own, min(selected, classes))
            images = torch.randn(count, 3, side, side).to('cuda:0')
            seen = images if test_cfg is WHOLE else torch.randn(
                5 * count, 3, size, size).to('cuda:0')
            _predict(model, images)  # what is computed once
            encoder, _ = _counted(device, lambda seen=seen: model.extract_feat(seen))
            kernels, waits = _counted(
                device, lambda images=images: _predict(model, images))
            rows.append(dict(case=case, encoder=encoder, beyond=kernels - encoder,
                             synchronisations=waits))
    return rows


def _predict(model: DCPCLIP, images: torch.Tensor) -> None:
    size = tuple(images.shape[-2:])
    model.predict(images, [SegDataSample(metainfo=dict(ori_shape=size))
                           for _ in range(len(images))])


def _counted(device: SimulatedDevice, call: Any) -> tuple[int, int]:
    """Kernels and waits of a call."""
    device.kernels.clear()
    device.synchronisations.clear()
    call()
    return device.kernels.total(), device.synchronisations.total()
