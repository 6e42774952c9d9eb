"""What a picture costs in each mode of a config, and with further forms of it."""

from functools import partial
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose

from ...engine import use_mode
from ...models import DCPCLIP
from ...models.segmentors.forms import PRESETS
from ...vocabulary import Vocabulary
from ..efficiency import TimedCall, measure_times, summarize_times
from .bench import PICTURE, Bench, Conditions
from .stand_ins import FixedSelection, RandomBank, random_model

FIRST = 'fast'


def mode_rows(config: Config, classes: int, selected: int, conditions: Conditions
              ) -> list[dict[str, Any]]:
    """Time predictions, from the picture behind the pipeline to its label map.

    Without a second look, in turn in all modes, and in the first one with each preset
    of further forms. Each view has the same selected categories.

    Args:
        config: With ``modes``; it stays as it is.
        classes: Number of random words.
        selected: Selected categories.
        conditions: How it is measured; ``size`` does not count.

    Returns:
        list: Rows with ``mode``, ``tta`` (None: the mode's own), ``views``, ``size``
        (of a view, in pixels), ``seconds`` and ``time_ratio`` (of the medians, to the
        first row, which is ``FIRST`` where there is such a mode).

    Raises:
        ValueError: The config has no modes.
    """
    names = sorted(config.get('modes') or {}, key=lambda name: name != FIRST)
    if not names:
        raise ValueError('the config has no modes: add modes=dict(NAME=dict(mode=..., '
                         '...)) with keys of test_cfg')
    model: DCPCLIP = random_model(config, conditions.device)
    bench = Bench(model, conditions)
    model.set_vocabulary(Vocabulary([f'word {i}' for i in range(classes)]))
    bank: Any = RandomBank(model, classes, conditions.device)
    model.text_bank, model.tag_validation = bank, None
    model.selection = FixedSelection(model.selection, min(selected, classes))
    data = random_data(config, model)
    cases: list[tuple[str, str | None]] = [(name, None) for name in names]
    cases += [(names[0], tta) for tta in PRESETS if tta != 'none']
    rows: list[dict[str, Any]] = []
    jobs = []
    for name, tta in cases:
        own = config.copy()
        use_mode(own, name)
        test_cfg = dict(own.model.test_cfg, **({} if tta is None else dict(tta=tta)))
        model.test_cfg = test_cfg
        views = model.make_views(data['inputs'])
        rows.append(dict(mode=name, tta=tta, views=views.per_image,
                         size=list(views.images.shape[-2:])))
        jobs.append(TimedCall(bench.inference(partial(model.predict, **data)),
                              partial(setattr, model, 'test_cfg', test_cfg)))
    times = measure_times(jobs, conditions.repeats, conditions.warmup,
                          conditions.device)
    for row, seconds in zip(rows, map(summarize_times, times)):
        row['seconds'] = seconds
        row['time_ratio'] = seconds['median'] / rows[0]['seconds']['median']
    return rows


def random_data(config: Config, model: DCPCLIP) -> dict[str, Any]:
    """A random picture behind a config's pipeline, as the model takes it."""
    steps = [step for step in config.test_pipeline
             if not step['type'].rpartition('.')[2].startswith('Load')]
    picture = np.random.default_rng(0).integers(0, 256, (*PICTURE, 3), np.uint8)
    packed = Compose(steps)(dict(img=picture, img_shape=PICTURE, ori_shape=PICTURE))
    preprocess: Any = model.data_preprocessor  # mmengine has no types
    return preprocess(dict(inputs=[packed['inputs']],
                           data_samples=[packed['data_samples']]))
