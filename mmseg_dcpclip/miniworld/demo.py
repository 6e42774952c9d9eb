"""What ``dcpclip demo`` shows: the scores side by side, a picture, a sheet of them."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..apis import Predictor, draw_overlay
from ..files import write_atomic
from ..models.weight_routes import read_checkpoint
from ..vocabulary import Vocabulary
from .scenes import drawing_of
from .splits import BENCHMARKS, SEEN
from .surfaces import NAMES

CONFIGS = {'frozen CLIP': 'dcpclip_mini_frozen', 'DCP-CLIP': 'dcpclip_mini'}
SCENE_CONFIGS = CONFIGS | {'DCP-CLIP': 'dcpclip_mini_scenes'}
SCORES = ('mIoU', 'seen_mIoU', 'unseen_mIoU', 'mIoU_union')
PICTURE_SEED = 1041  # of the segmented picture; no test picture has it
SHEET_SEEDS = range(4)


def keep_weights(checkpoint: Path, out: Path) -> None:
    """Write a checkpoint without the optimiser's state.

    Args:
        checkpoint: As a training wrote it.
        out: The smaller file.
    """
    state = read_checkpoint(checkpoint)
    kept = dict(state_dict=state['state_dict'],
                meta=dict(dataset_meta=state['meta'].get('dataset_meta')))
    content = io.BytesIO()
    torch.save(kept, content)
    write_atomic(out, content.getvalue())


def compare(results: Mapping[str, Path]) -> tuple[list[str], list[list[str]]]:
    """Scores of several tests side by side.

    Args:
        results: ``benchmarks.json`` of each model.

    Returns:
        tuple: A header and the rows.
    """
    tests = {name: {row['name']: row['scores'] for row in
                    json.loads(path.read_text())['benchmarks']}
             for name, path in results.items()}
    rows = [[benchmark, name, *(f'{scores[benchmark][key]:.2f}' for key in SCORES)]
            for benchmark in next(iter(tests.values()))
            for name, scores in tests.items()]
    return ['benchmark', 'model', *SCORES], rows


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return ''.join(f'| {" | ".join(line)} |\n'
                   for line in (header, ['---'] * len(header), *rows))


def contact_sheet(configs: Mapping[str, Path], checkpoint: Path, scenes: bool = False
                  ) -> Image.Image:
    """Picture, ground truth, frozen CLIP and DCP-CLIP on pictures of mini-847.

    Args:
        configs: Paths by the names of ``CONFIGS``.
        checkpoint: Weights of DCP-CLIP.
        scenes: Whether the pictures are those of scene-847.
    """
    draw = drawing_of(scenes)
    pool = BENCHMARKS['mini-847']
    words = Vocabulary.load('mini-847')
    predictors = [Predictor(configs['frozen CLIP']),
                  Predictor(configs['DCP-CLIP'], checkpoint)]
    rows = []
    for seed in SHEET_SEEDS:
        picture, label = draw(np.random.default_rng(seed), pool)
        maps = [np.searchsorted(pool, label)]
        maps += [p.predict([picture], words)[0].pred_sem_seg.data[0].numpy()
                 for p in predictors]
        palette = np.array(words.palette, np.uint8)
        rows.append(np.concatenate([picture, *(palette[m] for m in maps)], 1))
    return _enlarged(rows, 3)


@dataclass
class DrawnPicture:
    """A picture on disk and words for it.

    Attributes:
        path: The PNG.
        words: Names of what is there, then of what is not.
    """
    path: Path
    words: list[str]


def draw_unseen(out: Path, scenes: bool = False) -> DrawnPicture:
    """Draw a picture of categories that no training saw, with its ground truth.

    Args:
        out: Gets ``picture.png`` and ``picture_truth.png``.
        scenes: Whether it is a scene.
    """
    rng = np.random.default_rng(PICTURE_SEED)
    unseen = [i for i in range(len(NAMES)) if i not in SEEN]
    picture, label = drawing_of(scenes)(rng, unseen)
    path = out / 'picture.png'
    Image.fromarray(picture).save(path)
    there = [NAMES[i] for i in np.unique(label)]
    truth = draw_overlay(picture, np.searchsorted(np.unique(label), label),
                         Vocabulary(there))
    truth.save(out / 'picture_truth.png')
    return DrawnPicture(path, [*there, *absent_words(rng, there)])


def draw_examples(out: Path, count: int, seed: int = PICTURE_SEED + 1,
                  scenes: bool = False) -> list[DrawnPicture]:
    """Draw pictures of any categories, ``0.png`` and so on.

    Args:
        out: A folder, which is made if need be.
        count: How many.
        seed: Of the first; those after it have the next ones.
        scenes: Whether they are scenes.
    """
    draw = drawing_of(scenes)
    out.mkdir(parents=True, exist_ok=True)
    examples = []
    for i in range(count):
        rng = np.random.default_rng(seed + i)
        picture, label = draw(rng, range(len(NAMES)))
        write_png(out / f'{i}.png', Image.fromarray(picture))
        there = [NAMES[i] for i in np.unique(label)]
        examples.append(DrawnPicture(
            out / f'{i}.png', [*there, *absent_words(rng, there, 3)]))
    return examples


def draw_overview(count: int, seed: int = PICTURE_SEED + 1, scenes: bool = False
                  ) -> Image.Image:
    """The pictures of ``draw_examples`` and their label maps, four pairs in a row.

    Args:
        count: How many.
        seed: Of the first; those after it have the next ones.
        scenes: Whether they are scenes.
    """
    draw = drawing_of(scenes)
    palette = np.array(Vocabulary(NAMES).palette, np.uint8)
    pairs = []
    for i in range(count):
        picture, label = draw(np.random.default_rng(seed + i), range(len(NAMES)))
        pairs.append(np.concatenate([picture, palette[label]], 1))
    pairs += [np.full_like(pairs[0], 255)] * (-count % 4)
    return _enlarged([np.concatenate(pairs[i:i + 4], 1)
                      for i in range(0, len(pairs), 4)], 2)


def write_png(path: Path, image: Image.Image) -> None:
    """Write a picture, whole or not at all."""
    content = io.BytesIO()
    image.save(content, 'PNG')
    write_atomic(path, content.getvalue())


def _enlarged(rows: Sequence[np.ndarray], factor: int) -> Image.Image:
    """Rows of a sheet, each pixel several times."""
    sheet = Image.fromarray(np.concatenate(rows))
    return sheet.resize((sheet.width * factor, sheet.height * factor),
                        Image.Resampling.NEAREST)


def absent_words(rng: np.random.Generator, there: Sequence[str], count: int = 20
                 ) -> list[str]:
    """Names of categories that are not in the picture, none twice."""
    absent = [name for name in NAMES if name not in there]
    return rng.choice(absent, count, replace=False).tolist()
