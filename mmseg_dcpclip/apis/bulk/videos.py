"""Videos, as folders of frames."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import mmcv
import numpy as np

from .parts import PART, Item, Part, Share

VIDEOS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')


def is_video(source: str) -> bool:
    """Whether a source names a video."""
    return source.lower().endswith(VIDEOS)


@dataclass
class VideoSource:
    """Videos; the frames of ``walk.mp4`` are ``walk/000000`` and so on.

    Attributes:
        paths: The files.
        frames: Number of frames of each.
        names: Their names.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no video, or two have one name.
    """
    paths: list[str]
    frames: list[int] = field(init=False)
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.frames = [len(_open(path)) for path in self.paths]
        self.names = [os.path.splitext(os.path.basename(path))[0]
                      for path in self.paths]
        twice = [name for name, n in Counter(self.names).items() if n > 1]
        if twice:
            raise ValueError(f'two videos are called {twice[0]}: their frames would '
                             'have the same names; give each an --out of its own')

    @property
    def origin(self) -> str:
        """str: The folder of the first."""
        return os.path.dirname(os.path.abspath(self.paths[0]))

    def count(self, share: Share) -> int:
        """Number of frames in a share."""
        return sum(len(numbers) for _, numbers in self._in_parts(share))

    def parts(self, share: Share) -> Iterator[Part]:
        """Every so many frames one part; the frames between them are jumped over.

        Args:
            share: Which of the parts.
        """
        reader, opened = None, -1
        for i, numbers in self._in_parts(share):
            path = self.paths[i]
            if i != opened:
                reader, opened = _open(path), i
            yield Part(f'{i:06d}-{numbers[0]:09d}', [
                Item(f'{self.names[i]}/{j:06d}', f'{self.names[i]}/{j:06d}',
                     partial(_frame, reader, path, j)) for j in numbers])

    def _in_parts(self, share: Share) -> Iterator[tuple[int, range]]:
        """Videos and frames of the parts of a share."""
        number = 0
        for i, frames in enumerate(self.frames):
            for first in range(0, frames, PART):
                if share.has(number):
                    yield i, range(first, min(first + PART, frames))
                number += 1


def _open(path: str) -> mmcv.VideoReader:
    """A video that holds one frame.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no video.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'no such video: {path}')
    video = mmcv.VideoReader(path, cache_capacity=1)
    if not video.opened or len(video) < 1:
        raise ValueError(f'{path} cannot be read as a video: it is broken, or OpenCV '
                         'has no decoder for it')
    return video


def _frame(video: mmcv.VideoReader, path: str, number: int) -> np.ndarray:
    """A frame in RGB, uint8 [H, W, 3]; after each other they are read without jumps."""
    pixels = video.get_frame(number)
    if pixels is None:
        raise ValueError(f'frame {number} of {path} cannot be decoded')
    return np.ascontiguousarray(pixels[..., ::-1])
