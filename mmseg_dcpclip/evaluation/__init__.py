from .benchmarks_loop import BenchmarksTestLoop
from .ov_iou_metric import OVIoUMetric
from .scores import class_scores, count_pixels, harmonic_mean, summarize

__all__ = [
    'BenchmarksTestLoop', 'OVIoUMetric', 'class_scores', 'count_pixels',
    'harmonic_mean', 'summarize'
]
