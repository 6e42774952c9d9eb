"""A model as a graph that runs without this package: ONNX, or torch.export."""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine import Config
from mmengine.utils import digit_version
from torch import Tensor, nn

from ..extras import require
from ..files import write_json
from ..models.backbones.clip_convnext import STRIDE
from ..models.segmentors.static import StaticDCPCLIP
from ..version import __version__
from ..vocabulary import Background, Vocabulary
from .encoding import all_queries, text_digest, word_embeddings
from .onnx_predictor import ABOUT, WORDS
from .predictor import validation_hooks
from .word_files import write_words

OLDEST = '2.6'  # torch that exports open sizes to ONNX; tested with 2.14
FORMATS = dict(onnx='model.onnx', torch='model.pt2')
# Steps of a test pipeline that loading and packing do not replace.
STEPS = ('Resize', 'LimitSize')
LOADING = ('LoadImageFromFile', 'PictureAsSeen', 'LoadAnnotations',
           'LoadWideAnnotations', 'PackSegInputs')
INPUTS = ('pictures', 'mean', 'first', 'templates')
OUTPUTS = ('logits', 'ids')


def check_exportable(model: Any, config: Config) -> None:
    """Refuse what the graph could not do as the model does it.

    Raises:
        ValueError: Names the part and the remedy.
    """
    left_out = {f'model.{name}': repr(getattr(model, name)) for name in (
        'tag_validation', 'refinement') if getattr(model, name) is not None}
    if 'model.tag_validation' in left_out:
        left_out |= {key: 'TagValidationHook' for key, _ in validation_hooks(config)}
    if left_out:
        raise ValueError(
            f'{"; ".join(f"{key}={value}" for key, value in left_out.items())} is not '
            'in the graph, so its masks would be others: switch it off with '
            f'--cfg-options {" ".join(f"{key}=None" for key in left_out)}')
    for name, value in (('tta', 'none'), ('size', None)):
        if getattr(model.settings, name) != value:
            raise ValueError(
                f'model.test_cfg.{name}={getattr(model.settings, name)!r} is not in '
                'the graph, so its masks would be others: switch it off with '
                f'--cfg-options model.test_cfg.{name}={value}')
    backbone = model.backbone
    if getattr(backbone, 'proxy', None) is not None:
        raise ValueError('model.backbone.proxy cannot be exported: another encoder '
                         'belongs to it; leave it out')
    steps_of(config)


def steps_of(config: Config) -> list[dict[str, Any]]:
    """What a config's test pipeline does to the size of pictures.

    Raises:
        ValueError: It holds a step that is none of mmseg's and ours for sizes.
    """
    steps = []
    for step in config.test_pipeline:
        options = dict(step)
        kind = options.pop('type')
        name = (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]
        if name in LOADING:
            continue
        if name not in STEPS or set(options) - {'scale', 'keep_ratio', 'max_side'}:
            raise ValueError(f'test_pipeline: {name} with {options} cannot be told in '
                             f'{ABOUT}: of the steps between loading and packing '
                             f'{" and ".join(STEPS)} can, with scale and keep_ratio or '
                             'max_side')
        steps.append(dict(type=name, **options))
    return steps


def description(model: Any, config: Config, max_selected: int,
                size: Sequence[int] | None, graph: str) -> dict[str, Any]:
    """All that somebody who runs the graph has to know, as plain types."""
    settings, processor = model.settings, model.data_preprocessor
    own = getattr(model.backbone, 'input_size', None)
    slide, normalises = settings.mode == 'slide', processor.normalises
    return dict(
        format=1, mmseg_dcpclip=__version__, graph=graph,
        inputs=INPUTS[:4 if model.neck.uses_templates else 3], outputs=OUTPUTS,
        max_selected=max_selected, activation=model.decode_head.activation,
        pictures=dict(
            channels='RGB' if processor.swaps_channels else 'BGR',
            mean=processor.mean.flatten().tolist() if normalises else [0.0] * 3,
            std=processor.std.flatten().tolist() if normalises else [1.0] * 3,
            steps=steps_of(config), size=size,
            multiple=None if own else list(patch_steps(model.backbone))),
        views=dict(mode=settings.mode,
                   crop_size=settings.crop_size if slide else None,
                   stride=settings.stride if slide else None,
                   global_view=settings.global_view if slide else None),
        synonyms=settings.synonyms,
        background=(asdict(settings.background) if isinstance(
            settings.background, Background) else settings.background),
        ignore_index=model.ignore_index, classes=model.vocabulary.synonyms,
        text=text_digest(model.text_encoder))


def export_model(model: Any, config: Config, folder: str | Path, *,
                 max_selected: int = 32, format: str = 'onnx',
                 size: Sequence[int] | None = None,
                 vocabularies: Sequence[Vocabulary] = ()) -> list[Path]:
    """Write a model's graph, what belongs to it, and embeddings of words.

    Args:
        model: A ``DCPCLIP`` with weights, in test mode, on the CPU.
        config: The whole config.
        folder: Gets the graph, ``model.json`` and ``words.npz``; made if need be.
        max_selected: K, see ``StaticDCPCLIP``.
        format: Of ``FORMATS``.
        size: Height and width of what the graph gets: pictures, or their windows. None:
            open for ONNX, the windows' size for ``'torch'``.
        vocabularies: Words for ``words.npz`` besides the model's own.

    Returns:
        list: The files.

    Raises:
        ValueError: A part that cannot be exported, or sizes that do not fit.
        ImportError: onnx or onnxscript is missing, or torch is too old.
        OSError: The folder cannot be written.
    """
    folder = Path(folder)
    if digit_version(torch.__version__) < digit_version(OLDEST):
        raise ImportError(f'an export needs torch {OLDEST} or later, this is '
                          f'{torch.__version__}: update it')
    check_exportable(model, config)
    static = StaticDCPCLIP(model, max_selected, model.settings.mode == 'slide').eval()
    if format == 'torch' and size is None:
        if model.settings.mode != 'slide':
            raise ValueError('--format torch holds for one size of pictures: give it '
                             'with --size HEIGHT WIDTH')
        size = model.settings.crop_size
    if size is not None:
        _check_size(model, size)
    if format == 'onnx':
        for package in ('onnx', 'onnxscript'):
            require(package, 'onnx')
    about = description(model, config, max_selected, size, FORMATS[format])
    folder.mkdir(parents=True, exist_ok=True)
    words = all_queries([model.vocabulary, *vocabularies], model.settings,
                        model.ignore_index)
    write_words(folder / WORDS, word_embeddings(
        model.text_bank, model.text_encoder, words, static.uses_templates))
    # Large graphs keep their weights in a file beside them, by its name.
    with TemporaryDirectory(dir=folder, prefix='.export-') as place:
        save_graph(static, example_inputs(model, static, size),
                   Path(place) / FORMATS[format], format, fixed_size=size is not None)
        for path in sorted(Path(place).iterdir(), reverse=True):
            os.replace(path, folder / path.name)
    write_json(folder / ABOUT, about)
    return [folder / name for name in (FORMATS[format], ABOUT, WORDS)]


def patch_steps(backbone: Any) -> tuple[int, int]:
    """Height and width of a patch in pixels; the graph takes multiples of them."""
    return getattr(backbone, 'patch_size', (STRIDE, STRIDE))


def _check_size(model: Any, size: Sequence[int]) -> None:
    if getattr(model.backbone, 'input_size', None):
        return
    steps = patch_steps(model.backbone)
    if min(size) < 1 or any(n % step for n, step in zip(size, steps)):
        raise ValueError(f'--size {size[0]} {size[1]}: the graph takes multiples of '
                         f'the patch size, {steps[0]} and {steps[1]} pixels')


def example_inputs(model: Any, static: StaticDCPCLIP, size: Sequence[int] | None
                   ) -> tuple[Tensor, ...]:
    """Inputs by which the graph is recorded."""
    steps = patch_steps(model.backbone)
    # no two sizes alike, and none 1: exporters take equal ones for the same
    height, width = size or (5 * steps[0], 7 * steps[1])
    pictures = torch.randn(2, 3, height, width)
    count, dims = 11, model.backbone.joint_dims
    dtype = getattr(torch, model.text_bank.precision['templates'])
    templates = nn.functional.normalize(
        torch.randn(count, len(model.text_encoder.templates), dims), dim=-1)
    mean = nn.functional.normalize(templates.mean(1), dim=-1)
    inputs: tuple[Tensor, ...] = (pictures, mean, torch.arange(count))
    return (*inputs, templates.to(dtype)) if static.uses_templates else inputs


def open_sizes(static: StaticDCPCLIP, fixed_size: bool) -> dict[str, Any]:
    """Which sizes stay open, as ``torch.export`` takes it."""
    from torch.export import Dim
    batch, words = Dim('pictures'), Dim('words')
    pictures: dict[int, Any] = {0: batch}
    if not fixed_size:
        steps = patch_steps(static.backbone)
        own = getattr(static.backbone, 'input_size', None)
        for axis, name, step in ((2, 'rows', steps[0]), (3, 'columns', steps[1])):
            pictures[axis] = Dim(name) if own else step * Dim(name)
    sizes: dict[str, Any] = dict(pictures=pictures, mean={0: words}, first={0: words})
    if static.uses_templates:
        sizes['templates'] = {0: words}
    return sizes


@torch.no_grad()
def save_graph(static: StaticDCPCLIP, inputs: tuple[Tensor, ...], path: Path,
               format: str, fixed_size: bool) -> None:
    """Export a graph to a file.

    Args:
        static: What is exported.
        inputs: As its ``forward`` takes them.
        path: The file.
        format: Of ``FORMATS``.
        fixed_size: Whether it holds for the pictures' size only.
    """
    with _quiet():
        program = torch.export.export(
            static, inputs, dynamic_shapes=open_sizes(static, fixed_size), strict=False)
        if format == 'torch':
            with path.open('wb') as file:
                torch.export.save(program, file)
            return
        graph = torch.onnx.export(
            program, inputs, dynamo=True, verbose=False,
            input_names=INPUTS[:len(inputs)], output_names=OUTPUTS)
        assert graph is not None
        graph.save(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters say to their own developers."""
    names = ('torch.onnx', 'onnxscript', 'onnx_ir', 'torch.export')
    before = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
