"""Pictures made ready for a model."""

import numpy as np
from mmengine.dataset import Compose


def prepare(pipeline: Compose, picture: np.ndarray) -> dict:
    """Run a picture through a test pipeline without its loaders.

    Args:
        pipeline: As ``Predictor.pipeline``.
        picture: RGB, uint8 [H, W, 3].

    Returns:
        dict: ``inputs`` [3, h, w] and ``data_samples``, as of ``PackSegInputs``.
    """
    size = picture.shape[:2]
    return pipeline(dict(img=np.ascontiguousarray(picture[..., ::-1]), img_shape=size,
                         ori_shape=size))
