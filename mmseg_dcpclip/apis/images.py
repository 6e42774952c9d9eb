"""Pictures in the many forms people have them, see ``datasets/pictures.py``."""

from ..datasets.pictures import ImageLike, load_image

__all__ = ['ImageLike', 'load_image']
