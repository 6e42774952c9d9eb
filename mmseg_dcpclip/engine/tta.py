"""How a whole config tests: its modes, and test-time augmentation."""

from collections.abc import Mapping

from mmengine.config import Config, ConfigDict

from ..models.segmentors.forms import check_preset
from ..models.segmentors.settings import VIEW_KEYS

PIPELINE = 'pipeline'


def use_mode(config: Config, name: str) -> None:
    """Let a config test in one of its ``modes``.

    Args:
        config: The mode's keys replace the model's ``test_cfg``; what it does not name
            and no way of cutting views is stays.
        name: Of the mode.

    Raises:
        ValueError: The config has no such mode; names those that it has.
    """
    modes: Mapping = config.get('modes') or {}
    if name not in modes:
        raise ValueError(f'the config has no mode {name!r}: ' + (
            f'choose {", ".join(modes)}' if modes else
            'add modes=dict(NAME=dict(mode=..., ...)) with keys of test_cfg'))
    kept = {key: value for key, value in (config.model.get('test_cfg') or {}).items()
            if key not in VIEW_KEYS}
    config.model.test_cfg = {**kept, **modes[name]}


def use_tta(config: Config, name: str = PIPELINE) -> None:
    """Let a config test with test-time augmentation.

    Args:
        config: Model and test pipeline are changed.
        name: ``'pipeline'``: the config's ``tta_model`` and ``tta_pipeline`` are put in
            place, as mmseg's tools do. Or a preset of the model's own views,
            ``model.test_cfg.tta``.

    Raises:
        ValueError: There is no such preset, or the config has no ``tta_pipeline``.
    """
    if name != PIPELINE:
        try:
            check_preset(name)
        except ValueError as error:
            raise ValueError(f'{error}, {PIPELINE} (the config\'s tta_pipeline)'
                             ) from None
        config.model.test_cfg = {**(config.model.get('test_cfg') or {}), 'tta': name}
        return
    if config.get('tta_pipeline') is None:
        raise ValueError('--tta needs a tta_pipeline in the config; those of the '
                         'package have one')
    if config.get('test_dataloader') is not None:
        config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = ConfigDict(config.get('tta_model') or dict(type='OVSegTTAModel'),
                              module=config.model)
