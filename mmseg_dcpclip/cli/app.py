"""Serve a web page: a picture and words in, masks out.

    dcpclip app
    dcpclip app --config dcpclip_vitb16_frozen --device cuda
    dcpclip app --config dcpclip_vitb16_coco --checkpoint weights.pth --port 8000

Without --config it serves the small drawn world, trained and training-free, which
downloads nothing. Several models to choose from: --config and --checkpoint once for
each, in the same order. The page is seen on this machine only; --host 0.0.0.0 shows it
to the network, --share to everybody, through gradio's servers.
"""

import argparse
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING

from .common import (
    add_cfg_options,
    add_device,
    add_views,
    load_model_config,
    positive,
    say,
)

if TYPE_CHECKING:
    from ..apis.web import ServedModel

DEFAULT_CONFIGS = ('dcpclip_mini', 'dcpclip_mini_frozen')
EXAMPLES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Models, and where the page is."""
    parser.add_argument('--config', type=Path, action='append', metavar='CONFIG',
                        help='path of a config, name of one of the package, or a saved '
                        f'model (default: {" and ".join(DEFAULT_CONFIGS)})')
    parser.add_argument('--checkpoint', action='append', metavar='CHECKPOINT',
                        help="its weights; 'none': CLIP's only. Default: those saved "
                        'or shipped with it')
    parser.add_argument('--host', default='127.0.0.1',
                        help='address of this machine (default: 127.0.0.1)')
    parser.add_argument('--port', type=_port,
                        help='default: the first free one from 7860 on')
    parser.add_argument('--share', action='store_true',
                        help='a public link for a week, through gradio')
    parser.add_argument('--open', action='store_true', help='open a browser')
    add_views(parser)
    add_device(parser)
    add_cfg_options(parser)
    parser.set_defaults(refuse=parser.error)


def _port(text: str) -> int:
    number = positive(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f'{text} is no port: they end at 65535')
    return number


def run(args: argparse.Namespace) -> int:
    """Load the models and serve until interrupted."""
    from ..extras import require
    _check_place(args.host, args.port)
    configs = args.config or [Path(name) for name in DEFAULT_CONFIGS]
    checkpoints = args.checkpoint or [None] * len(configs)
    if len(checkpoints) != len(configs):
        args.refuse(f'{len(configs)} --config and {len(checkpoints)} --checkpoint: '
                    "give one for each, or 'none'")
    require('gradio', 'app')
    from ..apis.web import build_page, launch_page
    from ..miniworld.demo import draw_examples
    models = {}
    for config, checkpoint in zip(configs, checkpoints):
        name, model = _load(args, config, checkpoint)
        models[name] = model
    with TemporaryDirectory(prefix='dcpclip_app_') as folder:
        examples = [(drawn.path, '; '.join(drawn.words))
                    for drawn in draw_examples(Path(folder), EXAMPLES)]
        page = build_page(models, examples)
        launch_page(page, server_name=args.host, server_port=args.port,
                    share=args.share, inbrowser=args.open, quiet=True,
                    prevent_thread_lock=True)
        say(f'The page is at {page.local_url} (Ctrl-C ends it)',
            *([f'and for everybody at {page.share_url}'] if page.share_url else []))
        try:
            Event().wait()
        finally:
            page.close(verbose=False)
    return 0


def _check_place(host: str, port: int | None) -> None:
    """Tell before anything is loaded whether the page can be there.

    Raises:
        OSError: The port is in use, or the address is not this machine's.
    """
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((host, port or 0))
        except OSError as error:
            raise OSError(f'{host}:{port or "any port"} cannot be used '
                          f'({error.strerror}): give another --host or --port'
                          ) from error


def _load(args: argparse.Namespace, config: Path, checkpoint: str | None
          ) -> tuple[str, 'ServedModel']:
    """A model and the name that the page shows."""
    from ..apis import Predictor
    from ..apis.web import ServedModel
    settings, weights = load_model_config(config, checkpoint, args.cfg_options)
    model = ServedModel(Predictor(settings, weights, args.device, mode=args.mode,
                                  tta=args.tta))
    if model.training_free:
        return f'{config.stem}, training-free', model
    name = config.stem if weights is None else f'{config.stem}, {Path(weights).name}'
    return name, model
