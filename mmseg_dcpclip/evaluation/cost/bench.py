"""What all measurements of one run share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from ...models import DCPCLIP
from ...models.clip.layers import freeze_all_but
from ..efficiency import TimedCall

Result = TypeVar('Result')
NOT_RUN = 'not run'
PICTURE = (512, 683)  # size of the label map in pixels
PRECISIONS = dict(none=None, bf16=torch.bfloat16, fp16=torch.float16)


@dataclass(frozen=True)
class Conditions:
    """How things are measured.

    Attributes:
        size: Side of the crop in pixels.
        device: Where the models run, as in torch.
        amp: ``'none'``, ``'bf16'`` or ``'fp16'``.
        compiled: Whether neck and head run by torch.compile.
        repeats: Timed rounds.
        warmup: Rounds before these.
    """
    size: int
    device: str = 'cpu'
    amp: str = 'none'
    compiled: bool = False
    repeats: int = 7
    warmup: int = 1


@dataclass
class Case:
    """Something to be measured.

    Attributes:
        row: What it is; its figures are put behind.
        job: What is measured; None with ``row['not_run']`` where nothing can be.
        parts: Multiply-adds of single parts, to be called after ``job.setup``.
    """
    row: dict
    job: TimedCall | None = None
    parts: Callable[[], dict[str, float]] | None = None


def make_row(model: str, phase: str, classes: int | None = None,
             selected: int | None = None, **more: object) -> dict:
    """The head of a row: which model does what with how many words."""
    return dict(model=model, classes=classes, selected=selected, phase=phase, **more)


def random_image(height: int, width: int, device: str) -> Tensor:
    """An image [1, 3, H, W], always the same for a size."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, height, width, generator=generator).to(device)


@dataclass
class Bench:
    """A model and the crop that it is measured with.

    Of the image encoder the q and v weights are trained, as in the paper.

    Attributes:
        model: The DCPCLIP; it belongs to the bench.
        conditions: How things are measured.
        crop: [1, 3, size, size].
    """
    model: DCPCLIP
    conditions: Conditions
    crop: Tensor = field(init=False)

    def __post_init__(self) -> None:
        size = self.conditions.size
        self.crop = random_image(size, size, self.device)
        self.model.compile_head = {} if self.conditions.compiled else None
        backbone = self.model.backbone
        freeze_all_but(backbone, backbone.visual.transformer, 'qv')

    @property
    def device(self) -> str:
        """str: Where the model runs."""
        return self.conditions.device

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Autocast as asked for."""
        dtype = PRECISIONS[self.conditions.amp]
        with torch.autocast(torch.device(self.device).type, dtype,
                            enabled=dtype is not None):
            yield

    def inference(self, call: Callable[[], Result]) -> Callable[[], Result]:
        """A call without gradients in this precision."""
        def run() -> Result:
            with torch.no_grad(), self.precision():
                return call()
        return run

    def train_mode(self) -> None:
        """Before a training step: no gradients are left."""
        self.model.train()
        self.model.zero_grad(set_to_none=True)
