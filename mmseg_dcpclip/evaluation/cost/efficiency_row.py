"""A model's column of the paper's Table II."""

from mmengine.config import Config

from ..efficiency import (
    TimedCall,
    count_parameters,
    measure_times,
    multiply_adds,
    summarize_times,
)
from .bench import NOT_RUN, Bench, Conditions, random_image
from .dcpclip_cases import make_selection, segment
from .stand_ins import random_model, random_words

PAPER = dict(
    model='the paper (RTX 3090)', learnable_paper_m=80.3, total_m=443.6,
    train_min=496.4, seconds=dict(median=0.2), gflops=616.2, miou=32.4)


def efficiency_row(name: str, config: Config, conditions: Conditions, selected: int
                   ) -> dict:
    """Parameters, multiply-adds and seconds of a config for one picture.

    All views of its ``test_cfg`` go through the network; windows are two by two.

    Args:
        name: Of the model.
        config: The config; it stays as it is.
        conditions: How it is measured; ``size`` counts outside slide mode only.
        selected: Categories per view, if there are so many.

    Returns:
        dict: In millions, 1e9 multiply-adds and seconds; see ``PAPER``, too.
    """
    model = random_model(config, conditions.device)
    numbers = count_parameters(model)  # as configured: the bench changes what is tuned
    bench = Bench(model, conditions)
    settings = model.settings
    size = conditions.size, conditions.size
    if settings.mode == 'slide' and settings.crop_size and settings.stride:
        (height, width), (down, right) = settings.crop_size, settings.stride
        size = height + down, width + right
    image = random_image(*size, conditions.device)
    count = len(model.vocabulary)
    words = random_words(model, count, conditions.device)
    selection = make_selection(model, selected, count)
    predict = bench.inference(lambda: segment(model, image, words, selection))
    predict()  # decides the selection
    seconds = measure_times([TimedCall(predict)], conditions.repeats, conditions.warmup,
                            conditions.device)[0]
    return dict(
        model=name, parts_m={k: v / 1e6 for k, v in numbers['parts'].items()},
        total_m=numbers['total'] / 1e6, learnable_m=numbers['learnable'] / 1e6,
        learnable_paper_m=numbers['learnable_paper'] / 1e6,
        views=model.make_views(image).per_image,
        selected=min(selected, count), classes=count, image=list(size),
        gflops=multiply_adds(predict) / 1e9, seconds=summarize_times(seconds),
        train_min=NOT_RUN, miou=NOT_RUN)
