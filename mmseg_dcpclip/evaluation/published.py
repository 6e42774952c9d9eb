"""Published mIoU of training-free work on OpenAI's ViT-B/16, by read-out.

The methods' own figures: MaskCLIP (with its extras), SCLIP, ClearCLIP, NACLIP, ResCLIP
(whole; ``rcs`` is its first half) and SC-CLIP. Papers differ by up to 3 points for the
same method.
"""

from mmengine.config import Config

from .benchmarks import TRAINING_FREE

# In the order of ``TRAINING_FREE``.
B16 = dict(
    plain=(18.6, 7.8, 6.5, 49.1, 11.2, 7.2, 6.7, 3.2),
    value=(43.4, 23.2, 20.6, 74.9, 26.4, 16.7, 24.9, 11.9),
    csa=(59.1, 30.4, 30.5, 80.4, 34.2, 22.4, 32.2, 16.1),
    qq=(51.8, 32.6, 33.0, 80.9, 35.9, 23.9, 30.0, 16.7),
    kk_gauss=(58.9, 32.2, 33.2, 79.7, 35.2, 23.3, 35.5, 17.4),
    rcs=(61.1, 33.5, 35.0, 86.0, 36.8, 24.7, 35.9, 18.0),
    self_calibrated=(64.6, 36.8, 37.7, 84.3, 40.1, 26.6, 41.0, 20.1))
MODELS = ('ViT-B-16', 'ViT-B-16-quickgelu')


def published_row(config: Config) -> dict[str, float]:
    """The published mIoU of a config's read-out, by benchmark.

    Args:
        config: Of a model.

    Returns:
        dict: Percent; empty where nothing is published for its encoder and read-out.
    """
    backbone = config.get('model', {}).get('backbone') or {}
    read_out = backbone.get('read_out', 'plain')
    # a read-out with arguments is a dict
    read_out = read_out if isinstance(read_out, str) else read_out.get('type')
    if (backbone.get('model_name') not in MODELS or read_out not in B16
            or backbone.get('pretrained') != 'openai'):
        return {}
    return dict(zip(TRAINING_FREE, B16[read_out], strict=True))
