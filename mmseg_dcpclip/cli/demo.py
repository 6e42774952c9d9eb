"""The main job from end to end on the small drawn world.

Trains DCP-CLIP on the mini CLIP, tests it and the training-free mode on the five mini
benchmarks, and segments a picture with words of its own. Everything lands in
work_dirs/demo.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from ..files import check_folder
from ..reproduction.tables import WORLDS
from .common import print_table, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and changes for quick trials."""
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'),
                        help='folder (default: work_dirs/demo)')
    parser.add_argument('--scenes', action='store_true', help='pictures whose parts '
                        'belong together, in training and tests')
    # Text, not values: it is handed on to `dcpclip train`.
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
                        help='changes of the training config, for quick trials')


def run(args: argparse.Namespace) -> int:
    """Train, test, segment."""
    check_folder(args.out)
    from ..miniworld import demo
    from ..shipped import config_path
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    configs = {name: config_path(config) for name, config in (
        demo.SCENE_CONFIGS if args.scenes else demo.CONFIGS).items()}
    benchmarks = WORLDS['scenes' if args.scenes else 'mini'].benchmarks

    say('1/3 training (two to three minutes on two cores)')
    options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    _dcpclip('train', configs['DCP-CLIP'], '--work-dir', out / 'train', *options)
    checkpoint = out / 'dcpclip_mini.pth'
    demo.keep_weights(Path((out / 'train' / 'last_checkpoint').read_text().strip()),
                      checkpoint)

    say('2/3 testing on five benchmarks')
    results = {}
    for name, weights in (('frozen CLIP', 'none'), ('DCP-CLIP', checkpoint)):
        folder = out / f'test {name}'
        _dcpclip('test', configs[name], weights, '--benchmarks', *benchmarks,
                 '--work-dir', folder)
        results[name] = folder / 'benchmarks.json'
    table = out / 'benchmarks.md'
    header, rows = demo.compare(results)
    table.write_text(demo.markdown_table(header, rows), encoding='utf-8')
    print_table(header, rows, 'Percent; mIoU, seen, unseen by the GT-present rule')

    say('3/3 segmenting a picture with words given on the command line')
    picture = demo.draw_unseen(out, args.scenes)
    call = ['segment', picture.path, '--words', '; '.join(picture.words),
            '--checkpoint', checkpoint, '--config', configs['DCP-CLIP'], '--out', out]
    say('dcpclip ' + shlex.join(map(str, call)))
    _dcpclip(*call)
    demo.contact_sheet(configs, checkpoint, args.scenes).save(out / 'sheet.png')

    say('Done. Look at:', *(f'  {out / name}' for name in (
        'benchmarks.md', 'picture_overlay.png', 'picture_truth.png', 'sheet.png',
        'dcpclip_mini.pth')),
        '(sheet.png: picture, ground truth, frozen CLIP, DCP-CLIP; 847 words)')
    say('Now yours (`dcpclip COMMAND --help` tells more):',
        *(f'  {command}' for command in next_commands(picture.path, checkpoint)))
    return 0


def next_commands(picture: Path, checkpoint: Path) -> list[str]:
    """Commands to go on with, on what the demo made.

    Args:
        picture: A picture.
        checkpoint: Weights of ``dcpclip_mini``.
    """
    picture, checkpoint = _short(picture), _short(checkpoint)
    model: list[object] = ['dcpclip_mini', checkpoint]
    commands: list[list[object]] = [
        ['segment', picture, '--words', 'what you look for; synonyms|of one thing'],
        ['app'],
        ['export', *model, checkpoint.with_name('onnx'), '--cfg-options',
         'model.tag_validation=None', 'model.refinement=None'],
        ['hub', *model, checkpoint.with_name('hub'), '--delta'],
        ['segment', picture, '--words', 'red dots on blue', '--config',
         checkpoint.with_name('hub')],
    ]
    return ['dcpclip ' + shlex.join(map(str, words)) for words in commands]


def _short(path: Path) -> Path:
    """A path as one would type it here."""
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path


def _dcpclip(*words: object) -> None:
    """Run one of the subcommands in a process of its own; stop where it fails."""
    command = [sys.executable, '-m', 'mmseg_dcpclip.cli', *map(str, words)]
    status = subprocess.run(command).returncode
    if status:
        raise RuntimeError(f'`dcpclip {words[0]}` ended with exit status {status}')
