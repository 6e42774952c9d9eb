"""mmseg's SAN, which makes a map of every word, for comparison."""

from collections.abc import Sequence
from pathlib import Path

import mmseg
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.models import MultimodalEncoderDecoder
from mmseg.models.decode_heads import san_head
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..efficiency import TimedCall
from .bench import NOT_RUN, PICTURE, Bench, Case, make_row

SAN_CONFIG = 'configs/_base_/models/san_vit-b16.py'
SAN_SIZE = 640  # side of its input in pixels


def _only_in_training(*args: object, **kwargs: object) -> None:
    raise RuntimeError('SAN was built without point_sample: it can predict, not train')


def build_san(device: str) -> MultimodalEncoderDecoder:
    """Build mmseg's SAN ViT-B/16 with random weights.

    Raises:
        FileNotFoundError: mmseg was installed without its configs.
    """
    root = Path(mmseg.__file__).parent
    paths = [folder / SAN_CONFIG for folder in (root / '.mim', root.parent)]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(f'mmseg has no {SAN_CONFIG}')
    config = Config.fromfile(path).model
    config.pop('data_preprocessor')
    config.pretrained = None
    config.text_encoder.vocabulary = ['word']
    config.decode_head.train_cfg = None
    # mmcv without compiled ops lacks point_sample, which only SAN's loss calls.
    if san_head.point_sample is None:
        san_head.point_sample = _only_in_training
    return MODELS.build(config).to(device).eval()


def san_cases(bench: Bench, classes: Sequence[int], phases: Sequence[str],
              max_classes: int) -> list[Case]:
    """Forward and postprocess of SAN; where they cannot be run, the reason.

    Args:
        bench: Device and precision.
        classes: Numbers of words.
        phases: ``'forward'``, ``'postprocess'``; others are no cases here.
        max_classes: It is not run with more words than these.
    """
    reason, san = None, None
    try:
        if min(classes) <= max_classes:
            san = build_san(bench.device)
    except Exception as error:  # any reason is a reason to go on without
        reason = f'{NOT_RUN}: {type(error).__name__}: {error}'
    cases = []
    for count in classes:
        need = count * (SAN_SIZE**2 + PICTURE[0] * PICTURE[1]) * 4 / 1e9
        why = reason or (f'{NOT_RUN}: would need {need:.1f} GB for its maps, see '
                         '--san-max-classes' if count > max_classes else None)
        for phase in ('forward', 'postprocess'):
            if phase in phases:
                cases.append(Case(make_row('san', phase, count, not_run=why)) if why
                             else _san_case(bench, san, count, phase))
    return cases


def _san_case(bench: Bench, san: MultimodalEncoderDecoder, count: int, phase: str
              ) -> Case:
    """SAN with random words."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, SAN_SIZE, SAN_SIZE, generator=generator)
    image = image.to(bench.device)
    dims = san.text_encoder.text_projection.shape[1]
    table = F.normalize(torch.randn(count, dims, generator=generator), dim=-1)
    # Its own cache: nothing is encoded.
    cache = {f'word {i}': row for i, row in enumerate(table.to(bench.device))}
    meta = dict(ori_shape=PICTURE, img_shape=(SAN_SIZE, SAN_SIZE), padding_size=[0] * 4)
    logits: list[Tensor] = []

    def words() -> None:
        san.text_encoder.vocabulary = list(cache)
        san.text_encoder.cache = cache

    def fill() -> None:
        logits[:] = [torch.full((1, count, SAN_SIZE, SAN_SIZE), 0.5,
                                device=bench.device)]

    def postprocess() -> None:
        san.postprocess_result(logits.pop(), [SegDataSample(metainfo=meta)])

    forward = bench.inference(lambda: san.encode_decode(image, [dict(meta)]))
    job = (TimedCall(forward, words) if phase == 'forward'
           else TimedCall(bench.inference(postprocess), fill))
    row = make_row('san', phase, count, words_memory_gb=table.numel() * 4 / 1e9)
    return Case(row, job)
