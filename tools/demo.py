#!/usr/bin/env python
"""The main job from end to end on the small drawn world.

Trains DCP-CLIP on the mini CLIP, tests it and the training-free mode on the five mini
benchmarks, and segments a picture with words of its own. Everything lands in
work_dirs/demo.
"""

import argparse
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis import draw_overlay
from mmseg_dcpclip.datasets.labels import write_atomic
from mmseg_dcpclip.miniworld.draw import draw_picture
from mmseg_dcpclip.miniworld.splits import BENCHMARKS, SEEN
from mmseg_dcpclip.miniworld.surfaces import NAMES

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    'frozen CLIP': ROOT / 'configs' / 'dcpclip_mini_frozen.py',
    'DCP-CLIP': ROOT / 'configs' / 'dcpclip_mini.py',
}
PICTURE_SEED = 1041  # of the segmented picture; no test picture has it
SHEET_SEEDS = range(4)


def run(*command: object) -> None:
    """Run one of our tools, stop with its exit code if it fails."""
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)


def keep_weights(checkpoint: Path, out: Path) -> None:
    """Write a checkpoint without the optimiser's state."""
    state = torch.load(checkpoint, map_location='cpu', weights_only=False)
    kept = dict(state_dict=state['state_dict'],
                meta=dict(dataset_meta=state['meta'].get('dataset_meta')))
    content = io.BytesIO()
    torch.save(kept, content)
    write_atomic(out, content.getvalue())


def compare(results: dict[str, Path]) -> str:
    """Print the scores side by side and return them as a Markdown table."""
    tests = {name: {row['name']: row['scores'] for row in
                    json.loads(path.read_text())['benchmarks']}
             for name, path in results.items()}
    keys = ('mIoU', 'seen_mIoU', 'unseen_mIoU', 'mIoU_union')
    header = ['benchmark', 'model', *keys]
    rows = [[benchmark, name, *(f'{scores[benchmark][key]:.2f}' for key in keys)]
            for benchmark in next(iter(tests.values()))
            for name, scores in tests.items()]
    table = Table(*header, title='Percent; mIoU, seen, unseen by the GT-present rule')
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    lines = [header, ['---'] * len(header), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def contact_sheet(checkpoint: Path) -> Image.Image:
    """Picture, ground truth, frozen CLIP and DCP-CLIP on pictures of mini-847."""
    pool = BENCHMARKS['mini-847']
    words = Vocabulary.load('mini-847')
    predictors = [Predictor(CONFIGS['frozen CLIP']),
                  Predictor(CONFIGS['DCP-CLIP'], checkpoint)]
    rows = []
    for seed in SHEET_SEEDS:
        picture, label = draw_picture(np.random.default_rng(seed), pool)
        maps = [np.searchsorted(pool, label)]
        maps += [p.predict(picture, words).pred_sem_seg.data[0].numpy()
                 for p in predictors]
        palette = np.array(words.palette, np.uint8)
        rows.append(np.concatenate([picture, *(palette[m] for m in maps)], 1))
    sheet = Image.fromarray(np.concatenate(rows))
    return sheet.resize((sheet.width * 3, sheet.height * 3), Image.Resampling.NEAREST)


def absent_words(rng: np.random.Generator, there: list[str], count: int = 20
                 ) -> list[str]:
    """Names of categories that are not in the picture, none twice."""
    absent = [name for name in NAMES if name not in there]
    return rng.choice(absent, count, replace=False).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out-dir', type=Path, default=ROOT / 'work_dirs' / 'demo')
    parser.add_argument('--cfg-options', nargs='+', default=[],
                        help='changes of the training config, for quick trials')
    args = parser.parse_args()
    out = args.out_dir.resolve()
    out.mkdir(parents=True, exist_ok=True)

    print('1/3 training (two to three minutes on two cores)', flush=True)
    options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    run('tools/train.py', CONFIGS['DCP-CLIP'], '--work-dir', out / 'train', *options)
    checkpoint = out / 'dcpclip_mini.pth'
    keep_weights(Path((out / 'train' / 'last_checkpoint').read_text().strip()),
                 checkpoint)

    print('2/3 testing on five benchmarks', flush=True)
    results = {}
    for name, weights in (('frozen CLIP', 'none'), ('DCP-CLIP', checkpoint)):
        folder = out / f'test {name}'
        run('tools/test.py', CONFIGS[name], weights, '--benchmarks', 'all',
            '--work-dir', folder)
        results[name] = folder / 'benchmarks.json'
    table = out / 'benchmarks.md'
    table.write_text(compare(results), encoding='utf-8')

    print('3/3 segmenting a picture with words given on the command line', flush=True)
    rng = np.random.default_rng(PICTURE_SEED)
    unseen = [i for i in range(len(NAMES)) if i not in SEEN]
    picture, label = draw_picture(rng, unseen)
    path = out / 'picture.png'
    Image.fromarray(picture).save(path)
    there = [NAMES[i] for i in np.unique(label)]
    words = '; '.join([*there, *absent_words(rng, there)])
    print(f'python tools/segment.py {shlex.quote(str(path))} --words "{words}"',
          flush=True)
    run('tools/segment.py', path, '--words', words, '--checkpoint', checkpoint,
        '--out-dir', out)
    truth = draw_overlay(picture, np.searchsorted(np.unique(label), label),
                         Vocabulary(there))
    truth.save(out / 'picture_truth.png')
    contact_sheet(checkpoint).save(out / 'sheet.png')

    print('Done. Look at:')
    for name in ('benchmarks.md', 'picture_overlay.png', 'picture_truth.png',
                 'sheet.png', 'dcpclip_mini.pth'):
        print(f'  {out / name}')
    print('(sheet.png: picture, ground truth, frozen CLIP, DCP-CLIP; 847 words)')


if __name__ == '__main__':
    main()
