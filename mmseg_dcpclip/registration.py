"""Makes the package known to mmseg and mmengine without importing them.

mmengine's registries import the modules that they list as ``locations`` when a name is
first looked up. Ours are added to mmseg's lists, so that ``import mmseg_dcpclip`` costs
nothing and yet every component is found by name, in whatever order things are imported.
In the same way mmengine learns which package ``mmseg_dcpclip::...`` names.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

PACKAGE = __package__
LOCATIONS = dict(
    MODELS=('models', ),
    DATASETS=('datasets', 'miniworld.dataset'),
    TRANSFORMS=('datasets', 'miniworld.dataset'),
    HOOKS=('engine', ),
    RUNNERS=('engine', ),
    LOOPS=('evaluation', ),
    METRICS=('evaluation', ),
    OPTIM_WRAPPERS=('engine', ),
    OPTIM_WRAPPER_CONSTRUCTORS=('engine', ),
)


def add_locations(registries: ModuleType) -> None:
    """Add our modules to the places where mmseg's registries look.

    Args:
        registries: ``mmseg.registry``.
    """
    for name, modules in LOCATIONS.items():
        registry = getattr(registries, name)
        for module in modules:
            location = f'{PACKAGE}.{module}'
            if location not in registry._locations:
                registry._locations.append(location)
                registry._imported = False  # look once more


def add_package(utils: ModuleType) -> None:
    """Let configs and ``mmengine.hub`` find ``mmseg_dcpclip::...``.

    Args:
        utils: ``mmengine.config.utils``.
    """
    utils.MODULE2PACKAGE[PACKAGE] = PACKAGE


# What is done with a module once it is there.
ACTIONS: dict[str, Callable[[ModuleType], None]] = {
    'mmseg.registry': add_locations,
    'mmengine.config.utils': add_package,
}


class _ActAfterLoading(Loader):
    """Loads a module as usual, then does its action."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader  # whoever asks later finds the true one
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        ACTIONS[module.__name__](module)


class _WaitFor(MetaPathFinder):
    """Waits for the import of some modules and goes away with the last of them.

    Args:
        names: Of ``ACTIONS``.
    """

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: object = None
                  ) -> ModuleSpec | None:
        if name not in self.names:
            return None
        self.names.discard(name)
        if not self.names:
            sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _ActAfterLoading(spec.loader)
        return spec


def register() -> None:
    """Act now on the modules that are there already, on others as soon as they are."""
    import_module(f'{PACKAGE}.miniworld').add_to_catalogue()
    for name, act in ACTIONS.items():
        if name in sys.modules:
            act(sys.modules[name])
    waiting = set(ACTIONS) - set(sys.modules)
    if waiting and not any(isinstance(f, _WaitFor) for f in sys.meta_path):
        sys.meta_path.insert(0, _WaitFor(waiting))
