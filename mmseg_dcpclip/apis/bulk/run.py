"""Any number of pictures: read, segmented, written, and gone on with after a kill."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mmengine.config import Config

from ...models.weights import digest_of_weights
from ...version import __version__
from ...vocabulary import Vocabulary
from ..predictor import Predictor
from .batching import Batch, Batches, BatchSettings, load_batches
from .masks import Masks
from .options import BulkOptions
from .parts import Source
from .processes import Processes
from .records import Done, Records
from .summary import summary_rows, write_left_out, write_summary
from .writer import Writer

LEFT_OUT = 'left_out.csv'
Progress = Callable[[int], None]


@dataclass
class BulkResult:
    """How a run ended.

    Attributes:
        written: Pictures that this process wrote.
        before: Pictures that were there already.
        bad: Pictures of all processes that could not be used, and why; None where
            another process still works and will tell.
    """
    written: int
    before: int
    bad: dict[str, str] | None = field(default_factory=dict)


def segment_all(predictor: Predictor, source: Source, folder: Path,
                vocabulary: Vocabulary, options: BulkOptions,
                progress: Progress = lambda number: None) -> BulkResult:
    """Write the label maps of a source; those that are there are not made again.

    Pictures that cannot be used are left out and listed in ``left_out.csv``. Several
    processes, as torchrun and srun start them, take parts of the source; the last one
    to end writes the summary.

    Args:
        predictor: The model.
        source: The pictures.
        folder: Where to; holds masks of this model and these words only.
        vocabulary: The words.
        options: How.
        progress: Is told numbers of pictures that are through.

    Raises:
        ValueError: The folder holds masks of other settings, or an option is refused.
        OSError: Something cannot be written.
    """
    processes = Processes.here()
    asked = dict(return_probability=True)
    if options.background is not None:
        asked['background'] = options.background
    with predictor.asked(vocabulary, asked):
        masks = Masks(folder, vocabulary, predictor.model.none_id, options.draw)
    records = Records(folder)
    records.check_settings(run_settings(predictor, source, masks, options))
    masks.beside = records.start(processes)
    done = Done(folder, (record.stem for record in records), masks.endings)
    batches = Batches(source, BatchSettings(predictor.pipeline, options.batch_size,
                                            options.draw), done, processes)
    bad: dict[str, str] = {}
    with Writer(records, options.writers, 2 * options.batch_size) as writer:
        for batch in load_batches(batches, options.workers):
            if batch.inputs is not None:
                _segment(predictor, batch, masks, writer, vocabulary, asked)
            if batch.last:
                bad |= batch.bad
                writer.close_part(batch.place)
            progress(len(batch.stems) + len(batch.bad) + batch.there)
    everything_bad = records.end(processes, bad)
    if everything_bad is not None:
        if options.summary is not None:
            write_summary(options.summary, summary_rows(records, vocabulary))
        write_left_out(folder / LEFT_OUT, everything_bad)
    return BulkResult(writer.written, len(done), everything_bad)


def _segment(predictor: Predictor, batch: Batch, masks: Masks, writer: Writer,
             vocabulary: Vocabulary, asked: dict) -> None:
    """Segment a batch and hand its masks over."""
    assert batch.inputs is not None
    results = predictor.predict_prepared(batch.inputs, batch.samples, vocabulary, asked)
    pictures: list = list(batch.pictures) or [None] * len(results)
    for name, stem, result, picture in zip(batch.names, batch.stems, results, pictures):
        seg_map, words = masks.taken_off(result)
        writer.put(batch.place, partial(masks.write, name, stem, seg_map, words,
                                        picture))


def run_settings(predictor: Predictor, source: Source, masks: Masks,
                 options: BulkOptions) -> dict[str, str | bool]:
    """All that the content of a folder of masks depends on."""
    config = predictor.config
    built = {key: config.get(key) for key in (
        'model', 'test_pipeline', 'default_hooks', 'custom_hooks')}
    text = json.dumps(Config(built).to_dict(), default=str, sort_keys=True)
    return dict(
        version=__version__, pictures=source.origin,
        config=hashlib.sha256(text.encode()).hexdigest()[:16],
        weights=digest_of_weights(predictor.model)[:16],
        words=masks.vocabulary.digest[:16], background=str(options.background),
        drawings=options.draw)
