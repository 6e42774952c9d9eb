"""Save a model as a folder in the form of Hugging Face Hub, and push it there.

    dcpclip hub dcpclip_mini work_dirs/demo/dcpclip_mini.pth my_model --delta
    dcpclip hub CONFIG CHECKPOINT FOLDER --scores work_dirs/test/benchmarks.json
    dcpclip hub CONFIG CHECKPOINT FOLDER --push ORG/NAME

The folder gets config.json, model.safetensors and the model card README.md, which you
may edit before it is pushed. `Predictor.from_pretrained('FOLDER')` and `dcpclip segment
--config FOLDER` load it, and 'ORG/NAME', hf-hub:ORG/NAME from Hugging Face.
"""

import argparse
from pathlib import Path

from ..files import check_folder
from .common import (
    add_cfg_options,
    add_checkpoint,
    add_config,
    checkpoint_of,
    load_config,
    say,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, folder, what the card says."""
    add_config(parser)
    add_checkpoint(parser)
    parser.add_argument('folder', type=Path, help='where to')
    parser.add_argument('--delta', action='store_true',
                        help="leave out what is CLIP's own")
    parser.add_argument('--scores', type=Path, metavar='FILE',
                        help='benchmarks.json of `dcpclip test --benchmarks`, for the '
                        "card (without it: 'not run')")
    parser.add_argument('--license', default='apache-2.0',
                        help='of the weights (default: apache-2.0)')
    parser.add_argument('--push', metavar='ORG/NAME',
                        help='push it to Hugging Face (log in by `hf auth login`)')
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Save, and push if asked to."""
    check_folder(args.folder)
    from ..apis import Predictor
    from ..apis.hub import FILES
    config = load_config(args.config, args.cfg_options)
    predictor = Predictor(config, checkpoint_of(args.checkpoint))
    facts = dict(delta=args.delta, scores=args.scores, license=args.license)
    predictor.save_pretrained(args.folder, repo_id=args.push, **facts)
    say(*(f'{path.stat().st_size / 1e6:8.2f} MB  {path}'
          for path in (args.folder / name for name in FILES)))
    if args.push:
        from huggingface_hub import HfApi
        api = HfApi()
        api.create_repo(args.push, exist_ok=True)
        say(str(api.upload_folder(
            repo_id=args.push, folder_path=args.folder, allow_patterns=[*FILES],
            commit_message='Upload a mmseg-dcpclip model')))
    return 0
