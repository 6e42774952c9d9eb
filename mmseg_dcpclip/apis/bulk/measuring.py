"""How fast pictures go from disk to masks on disk, beside the bare network."""

import tempfile
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from ...evaluation.cost.stand_ins import FixedSelection, RandomBank
from ...evaluation.efficiency import (
    TimedCall,
    measure_times,
    summarize_times,
    synchronize,
)
from ...vocabulary import Vocabulary
from ..predictor import Predictor
from ..preparing import prepare
from .batching import Batch, Batches, BatchSettings
from .masks import Masks
from .opening import open_source
from .options import BulkOptions
from .parts import Item, Share, Source
from .processes import Processes
from .records import Done
from .run import segment_all

STAGES = ('load', 'resize', 'network', 'label map', 'write')
COARSE = 16  # pixels of a drawn picture that one random value stands for


@dataclass
class PipelineConditions:
    """What is measured.

    Attributes:
        pictures: A folder; None: ``count`` random pictures.
        count: How many.
        picture_size: Their height and width.
        classes: Number of words.
        selected: Categories per picture.
        options: How they are segmented.
        device: Where the model runs.
        repeats: Timed rounds of all pictures.
    """
    pictures: Path | None = None
    count: int = 64
    picture_size: tuple[int, int] = (512, 683)
    classes: int = 847
    selected: int = 24
    options: BulkOptions = field(default_factory=BulkOptions)
    device: str = 'cpu'
    repeats: int = 3


def measure_pipeline(config: Config, conditions: PipelineConditions) -> dict[str, Any]:
    """Time pictures from JPEG to label PNG, and the bare network on the same batches.

    Rounds of both take turns. The bare network goes from packed batches in memory to
    logits. The stages are timed one after the other in one process.

    Args:
        config: Its model gets random weights, words and a fixed selection.
        conditions: What is measured.

    Returns:
        dict: ``pictures``, ``network`` and ``pipeline`` (pictures a second, of the
        median round), ``ratio`` of the two, and seconds a picture of each ``stages``.
    """
    predictor = random_predictor(config, conditions)
    words = Vocabulary([f'word {i}' for i in range(conditions.classes)])
    options = replace(conditions.options, summary=None)
    with tempfile.TemporaryDirectory() as place:
        folder = conditions.pictures or draw_pictures(Path(place, 'pictures'),
                                                      conditions)
        source = open_source([str(folder)])
        settings = BatchSettings(predictor.pipeline, options.batch_size)
        batches = [batch for batch in Batches(
            source, settings, Done(Path(place)), Processes()) if batch.stems]
        number = sum(len(batch.stems) for batch in batches)
        turn = iter(range(conditions.repeats + 1))

        def pipeline() -> None:
            segment_all(predictor, source, Path(place, f'out {next(turn)}'), words,
                        options)

        times = [summarize_times(seconds) for seconds in measure_times(
            [TimedCall(lambda: bare_network(predictor, batches)), TimedCall(pipeline)],
            conditions.repeats, 1, conditions.device)]
        network, whole = (number / t['median'] for t in times)
        stages = stage_seconds(predictor, source, words, Path(place, 'stages'))
    return dict(pictures=number, network=network, pipeline=whole,
                ratio=whole / network, stages=stages,
                seconds=dict(network=times[0], pipeline=times[1]))


def random_predictor(config: Config, conditions: PipelineConditions) -> Predictor:
    """A predictor with random weights and words, and a selection of a fixed number."""
    config = deepcopy(config)
    for tower in (config.model.backbone, config.model.text_encoder):
        tower.pretrained = None
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'no checkpoint')
        predictor = Predictor(config, device=conditions.device)
    model = predictor.model
    model.selection = FixedSelection(model.selection,
                                     min(conditions.selected, conditions.classes))
    model.text_bank = RandomBank(model, conditions.classes, conditions.device)
    return predictor


def draw_pictures(folder: Path, conditions: PipelineConditions) -> Path:
    """Write random, smooth JPEGs."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    height, width = conditions.picture_size
    for i in range(conditions.count):
        coarse = rng.integers(0, 256, (-(-height // COARSE), -(-width // COARSE), 3),
                              dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(
            folder / f'{i:06d}.jpg', quality=90)
    return folder


@torch.no_grad()
def bare_network(predictor: Predictor, batches: list[Batch]) -> None:
    """From packed batches to logits."""
    for batch in batches:
        _logits(predictor, batch.inputs, batch.samples)


def _logits(predictor: Predictor, inputs: Any, samples: list) -> tuple:
    """Logits, what they are of, features, and views."""
    model = predictor.model
    images = model.data_preprocessor(
        dict(inputs=inputs, data_samples=samples))['inputs']
    views = model.make_views(images)
    return (*model.encode_decode(views.images, views=views.per_image,
                                 text=model.text_embeddings(model.queries)),
            views)


@torch.no_grad()
def stage_seconds(predictor: Predictor, source: Source, words: Vocabulary, folder: Path,
                  most: int = 32) -> dict[str, float]:
    """Seconds a picture of each stage, one picture after the other.

    Args:
        predictor: The model.
        source: The pictures.
        words: The words.
        folder: Where label maps are written.
        most: So many pictures are looked at.
    """
    total = dict.fromkeys(STAGES, 0.0)
    items = [item for part in source.parts(Share()) for item in part.items][:most]
    with predictor.asked(words, dict(return_probability=True)):
        masks = Masks(folder, words, predictor.model.none_id)
        for item in items:
            for stage, seconds in _stages(predictor, item, masks).items():
                total[stage] += seconds / len(items)
    return total


def _stages(predictor: Predictor, item: Item, masks: Masks) -> dict[str, float]:
    model, seconds = predictor.model, {}

    def timed(stage: str, call: Callable[[], Any]) -> Any:
        synchronize(predictor.device)
        start = time.perf_counter()
        result = call()
        synchronize(predictor.device)
        seconds[stage] = time.perf_counter() - start
        return result

    picture = timed('load', item.load)
    packed = timed('resize', lambda: prepare(predictor.pipeline, picture))
    sample = packed['data_samples']
    logits, pairs, features, views = timed('network', lambda: _logits(
        predictor, packed['inputs'][None], [sample]))

    def label_map() -> tuple:
        model.write_prediction(sample, logits, pairs, views, 0)
        model.look_again(sample, features, views, 0)
        return masks.taken_off(sample)

    seg_map, found = timed('label map', label_map)
    timed('write', lambda: masks.write(item.name, item.stem, seg_map, found))
    return seconds
