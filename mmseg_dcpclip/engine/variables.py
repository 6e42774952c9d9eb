"""Variables of a dataset config that a config over it, or --cfg-options, sets anew.

mmengine binds ``data_root=data_root`` when it reads the file that says so: a new value
of ``data_root`` changes nothing there. Our dataset configs therefore note in
``variables`` what they were bound to, and the new value is put in its place here.
"""

from collections.abc import Iterator, MutableMapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config

PLACES = ('train_pipeline', 'test_pipeline', 'tta_pipeline', 'train_dataloader',
          'val_dataloader', 'test_dataloader', 'val_evaluator', 'test_evaluator',
          'benchmarks', 'other_benchmarks', 'variables')
# Variables of another name than what they are bound to.
KEYS = dict(dataset_type='type', train_pipeline='pipeline', test_pipeline='pipeline')


def apply_variables(config: Config) -> None:
    """Bring new values of the variables to where the old ones stand.

    What was set there by itself stays.

    Args:
        config: Changed in place. One without ``variables`` is left as it is.

    Raises:
        ValueError: A new value takes effect nowhere.
    """
    bound = config.get('variables') or {}
    # Pipelines last, as other variables change them.
    for name in sorted(changed_variables(config), key=lambda n: 'pipeline' in n):
        old, new = bound[name], _like(bound[name], config[name])
        config[name] = new
        key = KEYS.get(name, name)
        # A model ignores what its data does; its own crop_size is another thing.
        places = (*PLACES, 'model') if name == 'ignore_index' else PLACES
        found = [(holder, value) for place in places if place in config
                 for holder, value in _holders(config[place], key)
                 if holder is not bound]
        for holder, value in found:
            if value == old:
                holder[key] = deepcopy(new)
        if all(value not in (old, new) for _, value in found):
            raise ValueError(
                f'{name}={new!r} changes nothing: {old!r}, which it stands for, was '
                f'replaced everywhere; set `{key}` in train_dataloader, val_dataloader '
                'and test_dataloader')
        bound[name] = deepcopy(new)


def changed_variables(config: Config) -> list[str]:
    """Names of variables whose new values were not brought anywhere yet."""
    bound = config.get('variables') or {}
    return [name for name, old in bound.items() if config.get(name, old) != old]


def _holders(tree: Any, key: str) -> Iterator[tuple[MutableMapping, Any]]:
    """All dicts in a part of a config that have a key, with its value."""
    if isinstance(tree, MutableMapping):
        if key in tree:
            yield tree, tree[key]
        for child in list(tree.values()):
            yield from _holders(child, key)
    elif isinstance(tree, (list, tuple)):
        for child in tree:
            yield from _holders(child, key)


def _like(old: Any, new: Any) -> Any:
    """A value from a command line, of the kind that it replaces."""
    if isinstance(old, tuple) and isinstance(new, list):
        return tuple(new)
    if isinstance(old, str) and type(new) in (int, float):  # a folder called 2012
        return str(new)
    return new
