"""A config as JSON that another machine reads back without running a program."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

import mmengine.registry
import mmseg.registry
from mmengine.config import Config
from mmengine.registry import Registry

from ..models import DCPCLIP, TagValidation
from ..models.clip.readouts import READ_OUTS
from ..registry import SCOPE
from ..version import __version__
from ..vocabulary import Vocabulary

OWN = 'mmseg_dcpclip'  # our key beside the config's own
# Of one machine or one run only.
LEFT_OUT = ('work_dir', 'load_from', 'resume', 'launcher', OWN)
# What is built when a model is loaded; all else stays words.
BUILT = ('model', 'test_pipeline', 'default_hooks', 'custom_hooks')
# Scopes whose components need no scope before their names.
FOUND_FROM_MMSEG = ('mmengine', 'mmseg', SCOPE)


def to_json(config: Config, model: DCPCLIP) -> dict[str, Any]:
    """A config with what the model is set to now: words, settings, second look.

    mmengine reads the result as a config, too (``Config.fromfile('config.json')``).

    Args:
        config: The whole config that the model was built of.
        model: The model.

    Returns:
        dict: Of what JSON knows. ``'mmseg_dcpclip'`` holds the version, the places of
        tuples, which JSON calls lists, and the colours.

    Raises:
        ValueError: The config holds something that JSON does not know.
    """
    content = {key: value for key, value in config.to_dict().items()
               if key not in LEFT_OUT}
    content['model'] = {**content['model'], **_settings(model)}
    _keep_no_folder(content['model'])
    tuples: set[str] = set()
    plain = _plain(content, '', tuples)
    vocabulary = model.vocabulary
    plain[OWN] = dict(version=__version__, tuples=sorted(tuples))
    if vocabulary.palette != Vocabulary(vocabulary.synonyms).palette:
        plain[OWN]['palette'] = [[int(c) for c in colour]
                                 for colour in vocabulary.palette]
    return plain


def from_json(content: Any, origin: str) -> Config:
    """The config that ``to_json`` wrote.

    Nothing is imported for it, and what is built has to be registered: a name cannot
    stand for just any function.

    Args:
        content: What the file holds.
        origin: The file, for messages.

    Raises:
        ValueError: It is none of this package, or names an unknown component.
    """
    if not isinstance(content, dict) or not isinstance(content.get(OWN), dict):
        kind = content.get('model_type') if isinstance(content, dict) else None
        what = f' (model_type {kind!r})' if kind else ''
        raise ValueError(f'{origin} is of another library{what}: give a folder or name '
                         'of a model that Predictor.save_pretrained wrote')
    own = content[OWN]
    config = _with_tuples({k: v for k, v in content.items() if k != OWN}, '',
                          frozenset(map(str, own.get('tuples') or ())))
    if not isinstance(config.get('model'), dict):
        raise ValueError(f'{origin} has no model: download or save it again')
    _keep_no_folder(config['model'])
    known = _registered()
    for key in BUILT:
        for kind in _types(config.get(key)):
            if not isinstance(kind, str) or kind not in known:
                raise ValueError(
                    f'{origin} names the component {kind!r}, which is not registered: '
                    'import the module that registers it first, or update the package '
                    f'(the model was saved by {own.get("version")}, this is '
                    f'{__version__})')
    if own.get('palette') is not None:
        config['model']['vocabulary'] = Vocabulary(
            config['model'].get('vocabulary'), own['palette'], origin=origin)
    return Config(config)


def _settings(model: DCPCLIP) -> dict[str, Any]:
    """What may have been changed since the model was built."""
    settings: dict[str, Any] = dict(vocabulary=_entries(model.vocabulary),
                                    test_cfg=dict(model.test_cfg))
    background = model.background
    if background is not None:
        settings['test_cfg']['background'] = dict(
            words=list(background.words), threshold=background.threshold,
            id=background.id)
    look = model.tag_validation
    if look is None or type(look) is TagValidation:  # another's config is left
        settings['tag_validation'] = look if look is None else {
            **vars(look), 'seen': [] if look.seen is None else _entries(look.seen)}
    return settings


def _keep_no_folder(model: dict[str, Any]) -> None:
    """Where embeddings are kept is decided by each machine."""
    bank = model.get('text_bank') or {}
    if bank.get('root') is not None:
        model['text_bank'] = {k: v for k, v in bank.items() if k != 'root'}


def _entries(vocabulary: Vocabulary) -> list[str]:
    return ['|'.join(entry) for entry in vocabulary.synonyms]


def _plain(value: Any, place: str, tuples: set[str]) -> Any:
    """A value as JSON has it; places of tuples are noted, a list's items as one."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and '/' not in key for key in value):
            raise ValueError(f'the config cannot be written as JSON: keys of {place} '
                             'must be names without a slash')
        return {key: _plain(v, f'{place}/{key}', tuples) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        if isinstance(value, tuple):
            tuples.add(place)
        return [_plain(v, f'{place}/*', tuples) for v in value]
    if isinstance(value, Vocabulary):
        return _entries(value)
    names = [name for name, known in _registered().items() if known is value]
    if not names:
        raise ValueError(f'the config cannot be written as JSON: {place} is {value!r} '
                         f'({type(value).__name__}); register it and give its name')
    return min(names, key=len)


def _with_tuples(value: Any, place: str, tuples: Set[str]) -> Any:
    """A value of JSON with the lists at some places made tuples."""
    if isinstance(value, dict):
        return {key: _with_tuples(v, f'{place}/{key}', tuples)
                for key, v in value.items()}
    if isinstance(value, list):
        items = [_with_tuples(v, f'{place}/*', tuples) for v in value]
        return tuple(items) if place in tuples else items
    return value


def _types(tree: Any) -> Iterator[Any]:
    """All that a part of a config calls ``type``."""
    if isinstance(tree, dict):
        if 'type' in tree:
            yield tree['type']
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        for child in tree:
            yield from _types(child)


def _registered() -> dict[str, Any]:
    """All components by their names, with and without a scope."""
    known: dict[str, Any] = {}
    waiting = [READ_OUTS, *(value for module in (mmseg.registry, mmengine.registry)
                            for value in vars(module).values()
                            if isinstance(value, Registry))]
    while waiting:
        registry = waiting.pop()
        registry.import_from_location()
        waiting += registry.children.values()
        for name, value in registry.module_dict.items():
            known[f'{registry.scope}.{name}'] = value
            if registry.scope in FOUND_FROM_MMSEG:
                known.setdefault(name, value)
    return known
