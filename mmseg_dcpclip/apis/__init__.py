"""Models for single pictures."""

from .images import load_image
from .inferencer import OVSegInferencer
from .overlay import category_name, category_shares, draw_overlay
from .predictor import Predictor
from .sources import PictureFile, find_pictures
from .test_set import open_test_set
from .writing import write_prediction

__all__ = [
    'OVSegInferencer', 'PictureFile', 'Predictor', 'category_name', 'category_shares',
    'draw_overlay', 'find_pictures', 'load_image', 'open_test_set', 'write_prediction'
]
