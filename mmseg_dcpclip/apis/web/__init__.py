"""The web page: a picture and words in, a label map and its drawing out."""

from .models import ServedModel
from .page import build_page, launch_page

__all__ = ['ServedModel', 'build_page', 'launch_page']
