"""How many pictures are segmented."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .parts import PART


@dataclass
class BulkOptions:
    """How many pictures are segmented.

    Attributes:
        workers: Processes that read pictures; 0: this one does.
        batch_size: Pictures of one size that go through the network at once.
        draw: Whether to write a drawing beside each label map.
        summary: File for a table of the words in all pictures, .csv or .parquet.
        background: As in ``Predictor.predict``.
        writers: Threads that write.
    """
    workers: int = 2
    batch_size: int = 8
    draw: bool = False
    summary: Path | None = None
    background: Any = None
    writers: int = 2

    def check(self) -> None:
        """Refuse numbers that cannot be.

        Raises:
            ValueError: The number of workers, or of pictures in a batch.
        """
        if self.workers < 0:
            raise ValueError(f'--workers {self.workers}: must be 0 or more')
        if not 1 <= self.batch_size <= PART:
            raise ValueError(f'--batch-size {self.batch_size}: must be 1 to {PART}')
