"""Test-time augmentation of a whole config."""

from mmengine.config import Config, ConfigDict


def use_tta(config: Config) -> None:
    """Put a config's ``tta_model`` and ``tta_pipeline`` in place, as mmseg's tools do.

    Args:
        config: Model and test pipeline are changed.

    Raises:
        ValueError: The config has no ``tta_pipeline``.
    """
    if config.get('tta_pipeline') is None:
        raise ValueError('--tta needs a tta_pipeline in the config; those of the '
                         'package have one')
    if config.get('test_dataloader') is not None:
        config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = ConfigDict(config.get('tta_model') or dict(type='OVSegTTAModel'),
                              module=config.model)
