"""Contact sheets of predictions: chooses pictures of benchmarks and draws them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

from ..apis import Predictor, load_image
from ..datasets import dataset_vocabulary
from ..evaluation.benchmarks import collect_benchmarks
from ..shipped import configs_folder, find_config
from ..vocabulary import Vocabulary
from .drawing import draw_map, enlarged
from .settings import merge_options
from .sheets import Models

Rows = list[tuple[str, list[Image.Image]]]  # captions and pictures
Chosen = list[tuple[int, dict]]  # places in a dataset and what is there


def load_models(models: Models, options: Mapping[str, Any], device: str
                ) -> dict[str, Predictor]:
    """Models by heading.

    Args:
        models: By heading a config and a checkpoint.
        options: Changes of all configs.
        device: As in torch.

    Raises:
        FileNotFoundError: There is no such config or checkpoint.
        ValueError: A change does not fit, or weights belong to another model.
    """
    paths = {heading: find_config(path) for heading, (path, _) in models.items()}
    predictors = {}
    for heading, (_, checkpoint) in models.items():
        config = Config.fromfile(paths[heading])
        merge_options(config, options)
        predictors[heading] = Predictor(
            config, None if checkpoint == 'none' else checkpoint, device)
    return predictors


@torch.no_grad()
def predict(predictor: Predictor, item: dict, words: Vocabulary) -> np.ndarray:
    """Label map [H, W] of a picture of a dataset."""
    model = predictor.model
    if model.vocabulary != words:
        model.set_vocabulary(words)
    sample = model.test_step(pseudo_collate([item]))[0]
    return sample.pred_sem_seg.data[0].cpu().numpy()


def picture_of(item: dict) -> np.ndarray:
    """The picture as it is, RGB uint8 [H, W, 3]; drawn ones have no file."""
    sample = item['data_samples']
    if Path(sample.img_path).is_file():
        return load_image(sample.img_path)
    return np.ascontiguousarray(item['inputs'].numpy()[::-1].transpose(1, 2, 0))


def label_of(item: dict) -> np.ndarray:
    """The ground truth of a picture of a dataset, [H, W]."""
    return item['data_samples'].gt_sem_seg.data[0].numpy()


def with_unseen(dataset: Sequence[dict], seen: np.ndarray, count: int, look_at: int
                ) -> Chosen:
    """The first pictures that show a category not seen in training.

    Args:
        dataset: Its pictures.
        seen: Of each category, bool [C].
        count: Most pictures.
        look_at: Pictures among which to choose.
    """
    found: Chosen = []
    for index in range(min(look_at, len(dataset))):
        item = dataset[index]
        inside = np.unique(label_of(item))
        if not seen[inside[inside < len(seen)]].all():
            found.append((index, item))
        if len(found) == count:
            break
    return found


def most_changed(dataset: Sequence[dict], first: Predictor, second: Predictor,
                 words: Vocabulary, count: int, look_at: int) -> Chosen:
    """The pictures on which two models differ most, those with most pixels first.

    Args:
        dataset: Its pictures.
        first: A model.
        second: The other.
        words: Of the dataset.
        count: Most pictures.
        look_at: Pictures among which to choose.
    """
    found = []
    for index in range(min(look_at, len(dataset))):
        item = dataset[index]
        changed = (predict(first, item, words) != predict(second, item, words)).mean()
        if changed:
            found.append((-changed, index, item))
    found.sort(key=lambda entry: entry[:2])
    return [(index, item) for _, index, item in found[:count]]


def choose(sheet: str, predictors: Mapping[str, Predictor], dataset: Sequence[dict],
           words: Vocabulary, count: int, look_at: int) -> Chosen:
    """Some pictures of a benchmark, always the same ones.

    Args:
        sheet: Key of ``COLUMNS``.
        predictors: Models by heading.
        dataset: The benchmark.
        words: Its words.
        count: Most pictures.
        look_at: Pictures among which to choose.
    """
    models = list(predictors.values())
    if sheet == 'tv':
        return most_changed(dataset, models[0], models[-1], words, count, look_at)
    seen = words.seen(Vocabulary.of(models[0].config.model.vocabulary), match='name')
    return with_unseen(dataset, seen, count, look_at)


def draw_rows(name: str, predictors: Mapping[str, Predictor], chosen: Chosen,
              words: Vocabulary) -> Rows:
    """Image, ground truth and predictions of each picture.

    Args:
        name: Of the benchmark, for the captions.
        predictors: Models by heading.
        chosen: Pictures.
        words: Of the benchmark.
    """
    rows = []
    for index, item in chosen:
        picture = picture_of(item)
        maps = [label_of(item), *(predict(p, item, words) for p in predictors.values())]
        rows.append((f'{name} {index}', [
            enlarged(picture), *(draw_map(picture, m, words) for m in maps)]))
    return rows


def sheet_rows(sheet: str, predictors: Mapping[str, Predictor], names: Sequence[str],
               data_root: Mapping[str, str], pictures: int, look_at: int,
               say: Callable[[str], None]) -> Rows:
    """All rows of a sheet.

    Args:
        sheet: Key of ``COLUMNS``.
        predictors: Models by heading.
        names: Of the benchmarks.
        data_root: Where a benchmark lies, if not where its config says.
        pictures: Shared out over the benchmarks, one of each at least.
        look_at: Pictures of a benchmark among which to choose.
        say: Gets a line about a benchmark with too few pictures.

    Raises:
        FileNotFoundError: Data are missing.
        ValueError: There is no such benchmark, or no such picture.
    """
    init_default_scope('mmseg')
    config = next(iter(predictors.values())).config
    benchmarks = collect_benchmarks(
        config, names, configs_folder() / '_base_' / 'datasets', data_root)
    count = -(-pictures // len(benchmarks))
    rows: Rows = []
    for benchmark in benchmarks:
        dataset = DATASETS.build(benchmark.dataloader['dataset'])
        words = dataset_vocabulary(dataset)
        chosen = choose(sheet, predictors, dataset, words, count, look_at)
        if len(chosen) < count:
            say(f'{benchmark.name}: only {len(chosen)} of {count} pictures found among '
                f'the first {look_at}; look at more with --look-at')
        rows += draw_rows(benchmark.name, predictors, chosen, words)
    if not rows:
        raise ValueError('no such picture found; look at more with --look-at')
    return rows
