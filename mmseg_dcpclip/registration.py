"""Makes the package known to mmseg's registries without importing it.

mmengine's registries import the modules that they list as ``locations`` when a name is
first looked up. Ours are added to mmseg's lists, so that ``import mmseg_dcpclip`` costs
nothing and yet every component is found by name, in whatever order things are imported.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

REGISTRIES = 'mmseg.registry'
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


class _AddAfterLoading(Loader):
    """Loads ``mmseg.registry`` as usual, then adds our modules."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader  # whoever asks later finds the true one
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        add_locations(module)


class _WaitForRegistries(MetaPathFinder):
    """Waits for the import of ``mmseg.registry`` and goes away with it."""

    def find_spec(self, name: str, path: object = None, target: object = None
                  ) -> ModuleSpec | None:
        if name != REGISTRIES:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _AddAfterLoading(spec.loader)
        return spec


def register() -> None:
    """Add the modules now if mmseg is there already, else as soon as it is."""
    import_module(f'{PACKAGE}.miniworld').add_to_catalogue()
    if REGISTRIES in sys.modules:
        add_locations(sys.modules[REGISTRIES])
    elif not any(isinstance(f, _WaitForRegistries) for f in sys.meta_path):
        sys.meta_path.insert(0, _WaitForRegistries())
