from .clip_text import CLIPTextEncoder
from .text_bank import TextBank

__all__ = ['CLIPTextEncoder', 'TextBank']
