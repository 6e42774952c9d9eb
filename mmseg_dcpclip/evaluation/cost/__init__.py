"""What an image costs, as a multiple of the bare CLIP encoder.

Weights, image and words are random: they do not change what is computed.
"""

from .bench import Bench, Case, Conditions
from .clip_cases import clip_cases
from .dcpclip_cases import inference_cases, train_cases
from .efficiency_row import efficiency_row
from .launches import launch_rows
from .measuring import measure_cases
from .modes import mode_rows
from .read_outs import read_out_rows
from .san_cases import san_cases
from .stand_ins import FixedSelection, RandomWords, random_model
from .static_rows import static_rows

__all__ = [
    'Bench', 'Case', 'Conditions', 'FixedSelection', 'RandomWords', 'clip_cases',
    'efficiency_row', 'inference_cases', 'launch_rows', 'measure_cases',
    'mode_rows', 'random_model', 'read_out_rows', 'san_cases', 'static_rows',
    'train_cases'
]
