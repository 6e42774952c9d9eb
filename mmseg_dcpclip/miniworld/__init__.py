"""A small drawn world with a CLIP of its own, to run everything for real."""

from pathlib import Path

MINI_CLIP_CONFIG = Path(__file__).with_name('mini_vit_8.json')
MINI_CLIP_WEIGHTS = Path(__file__).with_name('mini_vit_8.safetensors')
