"""Arguments that several subcommands share; each means one thing everywhere."""

import argparse
import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import check_folder
from ..shipped import find_config

if TYPE_CHECKING:
    from mmengine.config import Config

DEMO_CONFIG = 'dcpclip_mini'
# Top-level keys that a config need not have and that are read all the same.
NEW_KEYS = ('auto_scale_lr', 'benchmarks', 'compile', 'custom_imports', 'modes',
            'other_benchmarks', 'runner_type', 'test_pipeline', 'tta_model',
            'tta_pipeline')


def make_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is set by rich."""
    from rich_argparse import RawDescriptionRichHelpFormatter
    return argparse.ArgumentParser(
        prog=prog, description=description,
        formatter_class=RawDescriptionRichHelpFormatter)


def add_subcommand(commands: Any, parent: argparse.ArgumentParser, name: str, text: str,
                   description: str,
                   action: Callable[[argparse.Namespace], int] | None = None
                   ) -> argparse.ArgumentParser:
    """Add a subcommand of a subcommand.

    Args:
        commands: What ``add_subparsers`` of the parent returned.
        parent: Parser of the subcommand.
        name: Its name.
        text: One line about it.
        description: Its help.
        action: What it does, ``args.action``.

    Returns:
        argparse.ArgumentParser: Its parser; ``args.refuse`` is its ``error``.
    """
    parser = commands.add_parser(name, help=text, description=description,
                                 formatter_class=parent.formatter_class)
    parser.set_defaults(action=action, refuse=parser.error)
    # The same as of the parent, so that it can stand behind the subcommand, too.
    parser.add_argument('--debug', action='store_true', default=argparse.SUPPRESS,
                        help='show where an error came from')
    return parser


class KeyValue(argparse.Action):
    """mmengine's ``DictAction`` (key=value ...), imported when it is needed."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        from mmengine.config import DictAction
        action = DictAction(self.option_strings, self.dest, nargs='+')
        try:
            action(parser, namespace, values, option_string)
        except (ValueError, AssertionError):  # brackets that do not close
            parser.error(f'{option_string}: expected KEY=VALUE, got '
                         f'{" ".join(values)}')


class NamedFolder(argparse.Action):
    """NAME=FOLDER ...; a folder is taken as it stands, with its commas."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        folders = dict(getattr(namespace, self.dest) or {})
        for text in values:
            name, equals, folder = text.partition('=')
            if not (name and equals and folder):
                parser.error(f'{option_string}: expected NAME=FOLDER, got {text}')
            folders[name] = folder
        setattr(namespace, self.dest, folders)


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number from 1 on')
    return int(text)


def add_config(parser: argparse.ArgumentParser) -> None:
    """The config as first word."""
    parser.add_argument('config', type=Path, help='path of a config, or name of one of '
                        'the package (dcpclip_mini)')


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """The weights as next word."""
    parser.add_argument('checkpoint', help="the weights, or 'none' for CLIP's own")


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model by flags; without them that of the small drawn world."""
    parser.add_argument('--config', type=Path, help='path or name of a config, or a '
                        'saved model: its folder, or hf-hub:ORG/NAME (default: '
                        f'{DEMO_CONFIG}, of the small drawn world)')
    parser.add_argument('--checkpoint', help="its weights; 'none': CLIP's only "
                        '(default: those saved with the model or of the package)')


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Changes of the config."""
    parser.add_argument('--cfg-options', nargs='+', action=KeyValue, default={},
                        metavar='KEY=VALUE', help='changes of the config')


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where the model runs."""
    parser.add_argument('--device', default='cpu', help='as in torch (default: cpu)')


def add_views(parser: argparse.ArgumentParser, pipeline: str | None = None) -> None:
    """How a picture is looked at.

    Args:
        parser: Of the subcommand.
        pipeline: What ``--tta`` means without a name; None: it needs one.
    """
    parser.add_argument('--mode', metavar='NAME', help="one of the config's modes: "
                        "'fast' or 'accurate' (default: as its test_cfg says)")
    text = "further forms of each picture: 'flip', 'shift' or 'flip+shift'"
    if pipeline is None:
        parser.add_argument('--tta', metavar='NAME', help=text)
    else:
        parser.add_argument('--tta', metavar='NAME', nargs='?', const=pipeline,
                            help=f"{text}; without a name those of the config's "
                            'tta_pipeline')


def add_json(parser: argparse.ArgumentParser) -> None:
    """A file for the figures."""
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='write the figures there, too')


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """Other places of datasets."""
    parser.add_argument('--data-root', nargs='+', action=NamedFolder, default={},
                        metavar='NAME=FOLDER',
                        help='where a dataset lies, if not where its config says')


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """How several processes were started."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
                        default='none', help='what started the processes')
    # torch.distributed.launch passes it
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)


def load_config(path: Path, options: dict | None = None, *, model: bool = True
                ) -> 'Config':
    """Read a config and apply changes.

    Args:
        path: A config by path or name, or a saved model, see ``Predictor``.
        options: The changes, by dotted key.
        model: Whether it has to have a model.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: It cannot be read, or a change does not fit.
    """
    from ..apis.hub import find_folder, is_hub_model, read_folder
    if is_hub_model(path):
        config, _ = read_folder(find_folder(path))
    else:
        path = find_config(path)
        config = _read_config(path)
    if model and not config.get('model'):
        raise ValueError(f'{path} has no model: add a model config to its _base_')
    for key, value in (options or {}).items():  # a=None a.b=1 means what it says
        _make_way(config, key)
        try:
            config.merge_from_dict({key: value})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'--cfg-options {key}: {error}') from error
    from ..engine import apply_variables
    apply_variables(config)
    return config


def _read_config(path: Path) -> 'Config':
    """Read a config from its file; what is wrong with it is told with the file."""
    from mmengine.config import Config
    try:
        return Config.fromfile(path)
    except Exception as error:  # a config is a program
        said = str(error) or type(error).__name__
        line = getattr(error, 'lineno', None)
        raise ValueError(f'{path}{f", line {line}" if line else ""}: the config cannot '
                         f'be read: {type(error).__name__}: {said}; correct the file'
                         ) from error


def load_model_config(path: Path | None, checkpoint: str | None,
                      options: dict | None = None
                      ) -> tuple['Config', str | Path | None]:
    """The config and the weights that a command's arguments mean.

    Args:
        path: As ``load_config`` takes it; None: that of the small drawn world.
        checkpoint: The weights; ``'none'``: CLIP's only. None: those saved with the
            model or shipped for the config, CLIP's where nothing is trained.
        options: Changes of the config.

    Returns:
        tuple: The config, and its weights or None, as ``Predictor`` takes them.

    Raises:
        ValueError: Weights are needed and nothing says which; and as ``load_config``.
    """
    from ..apis.checkpoints import own_weights
    path = Path(DEMO_CONFIG) if path is None else path
    config = load_config(path, options)
    if checkpoint is not None:
        return config, checkpoint_of(checkpoint)
    own = own_weights(path)
    if own is None and config.model.get('decode_head', {}).get('trainable', True):
        raise ValueError(f'give the weights of {path} with --checkpoint (or '
                         '--checkpoint none)')
    return config, own


def _make_way(config: 'Config', key: str) -> None:
    """Refuse a dotted key that leads nowhere; None on its way becomes a dict.

    Raises:
        ValueError: Its first word is unknown, or it leads into something without keys.
    """
    first, *way = key.split('.')
    if first not in config:
        from inspect import signature

        from mmengine.runner import Runner
        known = {*config.keys(), *signature(Runner).parameters, *NEW_KEYS}
        if first not in known:
            near = ' or '.join(map(repr, sorted(get_close_matches(first, known, 2))))
            raise ValueError(f'--cfg-options {key}: the config has no {first!r}' + (
                f'; did you mean {near}?' if near else '; check its spelling'))
    place, so_far = config, first
    for name, below in zip([first, *way], way):
        if isinstance(place, list):
            if not name.isdigit() or int(name) >= len(place):
                raise ValueError(f'--cfg-options {key}: {so_far} is not in a list of '
                                 f'{len(place)}; count from 0')
            value = place[int(name)]
        else:
            value = place.get(name)
        if value is None:
            if isinstance(place, list):
                raise ValueError(f'--cfg-options {key}: {so_far} is None there')
            place[name] = {}
            value = place[name]
        if not isinstance(value, (dict, list)):
            raise ValueError(f'--cfg-options {key}: {so_far} is {value!r} in the '
                             f'config and has no {below!r}; check the spelling')
        place, so_far = value, f'{so_far}.{below}'


def load_run_config(args: argparse.Namespace) -> 'Config':
    """The config of a run, with its launcher and its folder in it.

    Raises:
        As ``load_config`` does.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = load_config(args.config, args.cfg_options)
    config.launcher = args.launcher
    config.work_dir = (args.work_dir or config.get('work_dir')
                       or str(Path('work_dirs') / args.config.stem))
    check_folder(config.work_dir)
    return config


def checkpoint_of(text: str) -> str | None:
    """The checkpoint that a word means; None for CLIP's own weights."""
    return None if text == 'none' else text


def say(*lines: str) -> None:
    """Print lines at once, in a pipe as well."""
    # In one piece: several threads may talk.
    print('\n'.join(lines) + '\n', end='', flush=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]],
                title: str | None = None) -> None:
    """Print a table of text."""
    from rich.console import Console
    from rich.table import Table
    table = Table(title=title)
    for name in header:
        table.add_column(name, overflow='fold')  # nothing is cut
    for row in rows:
        table.add_row(*row)
    Console().print(table)
