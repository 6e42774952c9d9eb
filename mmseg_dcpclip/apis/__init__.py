"""Models for single pictures.

``OnnxPredictor`` runs without PyTorch, so nothing is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..pictures import load_image
    from .export import export_model
    from .inferencer import OVSegInferencer
    from .onnx_predictor import OnnxPredictor
    from .overlay import category_name, category_shares, draw_overlay
    from .predictor import Predictor
    from .sources import PictureFile, find_pictures
    from .writing import write_prediction

__all__ = [
    'OVSegInferencer', 'OnnxPredictor', 'PictureFile', 'Predictor', 'category_name',
    'category_shares', 'draw_overlay', 'export_model', 'find_pictures', 'load_image',
    'write_prediction'
]

_MODULES = {
    '..pictures': ('load_image', ),
    '.export': ('export_model', ),
    '.inferencer': ('OVSegInferencer', ),
    '.onnx_predictor': ('OnnxPredictor', ),
    '.overlay': ('category_name', 'category_shares', 'draw_overlay'),
    '.predictor': ('Predictor', ),
    '.sources': ('PictureFile', 'find_pictures'),
    '.writing': ('write_prediction', ),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module, __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
