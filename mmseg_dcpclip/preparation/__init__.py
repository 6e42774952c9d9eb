"""Make datasets ready: convert raw labels, check what is there, tell what is missing.

The raw data is only read, and nothing is downloaded. Results are returned; the command
``dcpclip data`` prints them.
"""

from . import (
    ade20k_847,
    cityscapes,
    coco_object,
    coco_stuff,
    color_masks,
    pascal_context,
)
from .checking import PUBLISHED, Report, check_split, write_histogram
from .conversion import (
    Conversion,
    FileJob,
    convert_all,
    convert_png,
    remap,
    remap_table,
)
from .own import check_config, check_own
from .recipes import PREPARATIONS, Preparation, check_dataset, next_steps
from .speed import measure_speed

__all__ = [
    'PREPARATIONS', 'PUBLISHED', 'Conversion', 'FileJob', 'Preparation', 'Report',
    'ade20k_847', 'check_config', 'check_dataset', 'check_own', 'check_split',
    'cityscapes', 'coco_object', 'coco_stuff', 'color_masks', 'convert_all',
    'convert_png', 'measure_speed', 'next_steps', 'pascal_context', 'remap',
    'remap_table', 'write_histogram'
]
