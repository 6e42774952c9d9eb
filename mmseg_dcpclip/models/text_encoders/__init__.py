from .clip_text import CLIPTextEncoder
from .text_bank import TextBank, TextEmbeddings

__all__ = ['CLIPTextEncoder', 'TextBank', 'TextEmbeddings']
