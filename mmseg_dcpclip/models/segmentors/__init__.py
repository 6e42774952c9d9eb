from .dcpclip import DCPCLIP

__all__ = ['DCPCLIP']
