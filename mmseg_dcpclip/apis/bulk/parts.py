"""Parts: some pictures after each other in a source, which are done together.

What a part holds is decided by the source alone, neither by how many processes share
the work nor by what is done already. So the batches made of a part are always the same,
and with them the masks to the last bit.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ...datasets.pictures import decode_picture, load_image

PART = 64  # pictures; a part that is interrupted is done again


@dataclass(frozen=True)
class Item:
    """A picture that is to be segmented.

    Attributes:
        name: What it is called in the summary.
        stem: Relative path, without an ending, of what is written for it.
        content: Its file, the content of a file, or what makes its pixels in RGB
            [H, W, 3]; an error where there is none of these.
    """
    name: str
    stem: str
    content: Path | bytes | Callable[[], np.ndarray] | Exception

    def load(self) -> np.ndarray:
        """Read it as ``load_image`` does.

        Raises:
            ValueError: It is no picture.
            FileNotFoundError: The file is not there.
        """
        if isinstance(self.content, Exception):
            raise self.content
        if isinstance(self.content, Path):
            return load_image(self.content)
        if isinstance(self.content, bytes):
            return decode_picture(self.content, self.name)
        return self.content()


@dataclass(frozen=True)
class Part:
    """Up to ``PART`` pictures after each other.

    Attributes:
        place: Its place in the source; parts are sorted by it.
        items: The pictures, to be gone through once and before the next part.
    """
    place: str
    items: Iterable[Item]


@dataclass(frozen=True)
class Share:
    """Which parts are one worker's.

    Attributes:
        index: Of the worker among all of all processes.
        count: Of these workers.
    """
    index: int = 0
    count: int = 1

    def has(self, number: int) -> bool:
        """Whether the part of a number is in it."""
        return number % self.count == self.index


class Source(Protocol):
    """Where pictures come from."""

    @property
    def origin(self) -> str:
        """str: Which place it is: pictures of another one may have the same names."""
        ...

    def count(self, share: Share) -> int | None:
        """Number of pictures in a share; None: known when all are read."""
        ...

    def parts(self, share: Share) -> Iterator[Part]:
        """The parts of a share, in order."""
        ...
