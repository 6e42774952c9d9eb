"""Where ``mmengine.hub.get_model`` looks for the way to register a package's parts."""

from .quiet import import_mmseg


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import all that is registered.

    Args:
        init_default_scope: Whether mmseg becomes mmengine's default scope.
    """
    import_mmseg()
    from . import datasets, engine, evaluation, models  # noqa: F401
    if init_default_scope:
        from mmengine.registry import init_default_scope as init
        init('mmseg')
