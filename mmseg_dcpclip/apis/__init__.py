from .images import load_image
from .overlay import draw_overlay
from .predictor import Predictor

__all__ = ['Predictor', 'draw_overlay', 'load_image']
