"""Who sees which categories: captions, segmentation training, benchmarks.

The split is drawn once from a fixed seed:

- 80 of the 880 categories are never captioned: the mini CLIP has read each of
  their words, but never these words together;
- 171 captioned ones are *seen*: segmentation is trained on them;
- five benchmarks have the vocabulary sizes of the real ones and hold as many seen
  categories as the real ones share names with COCO-Stuff (mini-847 holds more,
  since there are only 709 unseen ones).
"""

import numpy as np

from .surfaces import NAMES

NUM_NEVER_CAPTIONED = 80
NUM_SEEN = 171
# benchmark: (categories, seen ones among them)
BENCHMARK_SIZES = {
    'mini-20': (20, 14),
    'mini-59': (59, 35),
    'mini-150': (150, 47),
    'mini-459': (459, 71),
    'mini-847': (847, 147),
}

_order = np.random.default_rng(171).permutation(len(NAMES))
NEVER_CAPTIONED = tuple(sorted(_order[:NUM_NEVER_CAPTIONED].tolist()))
CAPTIONED = tuple(sorted(_order[NUM_NEVER_CAPTIONED:].tolist()))
SEEN = tuple(sorted(_order[-NUM_SEEN:].tolist()))
UNSEEN = tuple(sorted(_order[:-NUM_SEEN].tolist()))


def _benchmark(name: str) -> tuple:
    total, num_seen = BENCHMARK_SIZES[name]
    rng = np.random.default_rng(total)
    seen = rng.choice(SEEN, num_seen, replace=False)
    unseen = rng.choice(UNSEEN, total - num_seen, replace=False)
    return tuple(sorted([*seen.tolist(), *unseen.tolist()]))


BENCHMARKS = {name: _benchmark(name) for name in BENCHMARK_SIZES}

# category ids of every named set
CATEGORIES = {'mini-seen': SEEN, 'mini-all': tuple(range(len(NAMES))), **BENCHMARKS}
