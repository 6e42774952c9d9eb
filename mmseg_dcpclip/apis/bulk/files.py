"""Pictures that are files of their own."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..sources import PictureFiles
from .parts import PART, Item, Part, Share


@dataclass
class FileSource:
    """Files, read in workers.

    Attributes:
        files: The pictures.
    """
    files: PictureFiles

    @property
    def origin(self) -> str:
        """str: The folder that holds all."""
        return self.files.top

    def count(self, share: Share) -> int:
        """Number of pictures in a share."""
        return sum(min(PART, len(self.files) - first) for first in self._firsts(share))

    def parts(self, share: Share) -> Iterator[Part]:
        """Every so many files one part.

        Args:
            share: Which of the parts.
        """
        for first in self._firsts(share):
            yield Part(f'{first:09d}', [
                Item(file.name, file.stem, file.path)
                for file in self.files[first:first + PART]])

    def _firsts(self, share: Share) -> range:
        return range(share.index * PART, len(self.files), share.count * PART)
