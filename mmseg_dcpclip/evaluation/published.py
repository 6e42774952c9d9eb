"""Published mIoU of training-free work, and which of it a config can be held against.

The methods' own figures, with OpenAI's weights: CLIP's plain last block, MaskCLIP
(arXiv 2112.01071), SCLIP (2312.01597), ClearCLIP (2407.12442), NACLIP (2404.08181),
ResCLIP (2411.15851), PEARL (2603.21528), SC-CLIP (2411.15869) and FreeCP (2508.00557).
Papers differ by up to 3 points for the same method.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from ..shipped import config_path
from .benchmarks import TRAINING_FREE


@dataclass(frozen=True)
class PublishedRow:
    """What was published of one method.

    Attributes:
        title: The method, as in the table of the docs.
        figures: mIoU in percent, in the order of ``TRAINING_FREE``.
        mean: Published mean of them.
        read_out: With what the method is run here; None where a part of it is missing.
        refinement: Likewise.
        frame: Config of its encoder in the published frame.
    """
    title: str
    figures: tuple[float, ...]
    mean: float
    read_out: str | None = None
    refinement: str | None = None
    frame: str = 'dcpclip_vitb16_frozen'


ROWS = (
    PublishedRow('`plain`', (18.6, 7.8, 6.5, 49.1, 11.2, 7.2, 6.7, 3.2), 13.6, 'plain'),
    PublishedRow("`value`, with MaskCLIP's extras",
                 (43.4, 23.2, 20.6, 74.9, 26.4, 16.7, 24.9, 11.9), 30.3),
    PublishedRow('`csa`', (59.1, 30.4, 30.5, 80.4, 34.2, 22.4, 32.2, 16.1), 38.2,
                 'csa'),
    PublishedRow('`qq`', (51.8, 32.6, 33.0, 80.9, 35.9, 23.9, 30.0, 16.7), 38.1, 'qq'),
    PublishedRow('`qq` and FreeCP', (64.5, 35.7, 36.9, 81.5, 39.3, 26.1, 34.4, 18.9),
                 42.2),
    PublishedRow('`kk_gauss`', (58.9, 32.2, 33.2, 79.7, 35.2, 23.3, 35.5, 17.4), 39.4,
                 'kk_gauss'),
    PublishedRow('`kk_gauss` and PAMR',
                 (64.1, 35.0, 36.2, 83.0, 38.4, 25.7, 38.3, 19.1), 42.5,
                 'kk_gauss', 'PAMR'),
    PublishedRow("`rcs` and ResCLIP's second half",
                 (61.1, 33.5, 35.0, 86.0, 36.8, 24.7, 35.9, 18.0), 41.4),
    PublishedRow("`procrustes` and PEARL's second step",
                 (64.1, 35.1, 37.3, 86.9, 38.6, 26.3, 37.6, 19.4), 43.2),
    PublishedRow('`self_calibrated`', (64.6, 36.8, 37.7, 84.3, 40.1, 26.6, 41.0, 20.1),
                 43.9, 'self_calibrated'),
    PublishedRow('`self_calibrated`, ViT-L/14',
                 (65.0, 36.9, 40.5, 88.3, 40.6, 26.9, 41.3, 21.7), 45.2,
                 'self_calibrated', frame='dcpclip_vitl14_frozen'),
)


def published_row(config: Config) -> dict[str, float]:
    """The published mIoU of what a config is, by benchmark.

    Args:
        config: Of a model.

    Returns:
        dict: Percent; empty unless the config is a published method in the published
        frame: a frozen config with another read-out or with PAMR, and no other change.
    """
    model = config.get('model') or {}
    backbone = model.get('backbone') or {}
    asked = _bare(backbone.get('read_out', 'plain')), _bare(model.get('refinement'))
    for row in ROWS:
        if row.read_out is None or asked != (row.read_out, row.refinement):
            continue
        if _frame(config) == _frame(Config.fromfile(config_path(row.frame))):
            return dict(zip(TRAINING_FREE, row.figures, strict=True))
    return {}


def _bare(part: Any) -> Any:
    """The type of a part without arguments; with some, the part itself."""
    return part['type'] if isinstance(part, Mapping) and set(part) == {'type'} else part


def _frame(config: Config) -> dict[str, Any]:
    """All that decides about masks but read-out and refinement."""
    found = {key: config.get(key) for key in ('test_pipeline', 'benchmark_pipelines')}
    model = config.model.to_dict()
    parts = ('data_preprocessor', 'backbone', 'text_encoder', 'neck', 'decode_head',
             'selection', 'tag_validation', 'test_cfg')
    for part in parts:
        found[part] = {key: value for key, value in (model.get(part) or {}).items()
                       if key != 'read_out'}
    return found
