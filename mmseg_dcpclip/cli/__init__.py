"""The command ``dcpclip``: its subcommands parse and print, the package does the rest.

A subcommand is a module here with ``add_arguments(parser)``, ``run(args)``, which
returns an exit status, and its help as docstring. Only the one that is asked for is
imported, and it imports torch and mmseg when it runs.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from ..version import __version__
from .common import make_parser
from .waiting import wait_quietly

COMMANDS = dict(
    train='train a model',
    test='test a model on its own test set or on the benchmarks',
    segment='segment pictures with words of your own',
    app='serve a web page that does the same',
    data='check and convert datasets, draw pictures',
    weights="look for CLIP's weights",
    hub='save a model for Hugging Face',
    encode='encode vocabularies into the text bank beforehand',
    export='export a model to ONNX or torch.export',
    measure='measure where a model gains and loses',
    reproduce="reproduce the paper's tables",
    figures="draw the paper's figures",
    benchmark='measure what a picture costs',
    demo='train, test and segment on the small drawn world',
    pretrain='train the CLIP of the small drawn world',
)


PACKAGE = Path(__file__).resolve().parents[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``dcpclip``.

    Args:
        argv: Words behind ``dcpclip``. None: those of the process.

    Returns:
        int: Exit status: 0, 1 for what went wrong, 130 if interrupted. Words that do
        not fit end the process with 2, as in argparse.
    """
    wait_quietly()  # before a subcommand imports torch
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in COMMANDS:
        parser = _overview()
        parser.parse_args(words)  # leaves for --help, --version and unknown commands
        parser.print_help()
        return 2
    name, *words = words
    module = import_module(f'.{name}', __package__)
    parser = make_parser(f'dcpclip {name}', module.__doc__)
    module.add_arguments(parser)
    parser.add_argument('--debug', action='store_true',
                        help='show where an error came from')
    args = parser.parse_args(words)
    return _guarded(module.run, args, f'dcpclip {name}')


def _overview() -> argparse.ArgumentParser:
    """The parser that knows the names of the subcommands only."""
    parser = make_parser('dcpclip', 'Open-vocabulary segmentation with DCP-CLIP.\n\n'
                         '`dcpclip COMMAND --help` tells more.')
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(metavar='COMMAND')
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
    return parser


def _guarded(run: Callable[[argparse.Namespace], int], args: argparse.Namespace,
             name: str) -> int:
    """Run a subcommand; what goes wrong is told in one line.

    ``args.saved``, where a subcommand sets it, tells what an interruption leaves.
    """
    from ..quiet import import_mmseg
    usual = warnings.formatwarning

    def one_line(message: Warning | str, category: type[Warning], filename: str,
                 lineno: int, line: str | None = None) -> str:
        if args.debug or not Path(filename).is_relative_to(PACKAGE):
            return usual(message, category, filename, lineno, line)
        return f'{name}: note: {message}\n'

    warnings.formatwarning = one_line
    try:
        import_mmseg()
        if getattr(args, 'device', None):
            from ..models.devices import check_device
            check_device(args.device)
        status = run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        saved = args.saved() if hasattr(args, 'saved') else None
        print(f'{name}: interrupted' + (f'; {saved}' if saved else ''), file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if args.debug:
            raise
        from .errors import explain
        print(f'{name}: error: {explain(error)}', file=sys.stderr)
        return 1
    finally:
        warnings.formatwarning = usual
