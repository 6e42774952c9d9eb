"""What a folder of masks knows about itself: whose they are, and what is done.

Below ``.dcpclip`` lie the settings of the run, a record of each part that is done, and
how each process ended. Masks without a record are made again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_atomic, write_json
from .processes import Processes

FOLDER = '.dcpclip'
LABELS, OVERLAY = '_labels.png', '_overlay.png'


@dataclass(frozen=True)
class PictureRecord:
    """What is known of a picture that is done.

    Attributes:
        name: What it is called in the summary.
        stem: Relative path, without an ending, of what was written for it.
        words: Id, share of the pixels and score of each word in its label map, the
            largest share first.
    """
    name: str
    stem: str
    words: list[tuple[int, float, float]]


class Done:
    """Which pictures are done: they have a record, and what was written is there.

    Args:
        folder: Where masks are written.
        stems: Of pictures that have a record.
        endings: Of what is written for each.
    """

    def __init__(self, folder: Path, stems: Iterator[str] | None = None,
                 endings: tuple[str, ...] = (LABELS, )) -> None:
        self.folder = str(folder)
        self.endings = endings
        # 8 bytes each: a million pictures are 8 MB
        self.hashes = np.unique(np.fromiter(map(_hash, stems or ()), np.uint64))

    def __len__(self) -> int:
        return len(self.hashes)

    def __contains__(self, stem: str) -> bool:
        number = _hash(stem)
        place = np.searchsorted(self.hashes, number)
        return bool(place < len(self.hashes) and self.hashes[place] == number and all(
            os.path.exists(os.path.join(self.folder, stem + ending))
            for ending in self.endings))


def _hash(text: str) -> np.uint64:
    digest = hashlib.blake2b(os.fsencode(text), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, 'little'))


class Records:
    """The records in a folder of masks.

    Args:
        folder: Where masks are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = folder / FOLDER / 'parts'
        self.ends = folder / FOLDER / 'ends'
        self.halves = folder / FOLDER / 'halves'

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Write down whose masks they are, or refuse those of other settings.

        Args:
            settings: All that masks depend on, as text or numbers by name.

        Raises:
            ValueError: The folder holds masks of other settings; names them.
        """
        path = self.folder / FOLDER / 'settings.json'
        if not path.is_file():
            write_json(path, settings)
            return
        before = json.loads(path.read_text(encoding='utf-8'))
        other = [f'{name} (there {before.get(name)!r}, now {settings.get(name)!r})'
                 for name in {**before, **settings}
                 if before.get(name) != settings.get(name)]
        if other:
            raise ValueError(
                f'{self.folder} holds masks of another run, which differs in '
                f'{", ".join(other)}; give another folder with --out, or remove this '
                'one to start anew')

    def add(self, place: str, pictures: list[PictureRecord]) -> None:
        """Note that pictures of a part are done, all at once."""
        stems = hashlib.sha256('\n'.join(p.stem for p in pictures).encode(
            'utf-8', 'surrogateescape')).hexdigest()
        self.parts.mkdir(parents=True, exist_ok=True)
        write_atomic(self.parts / f'{place}-{stems[:8]}.json', json.dumps(
            [[p.name, p.stem, p.words] for p in pictures]).encode('utf-8'))

    def __iter__(self) -> Iterator[PictureRecord]:
        """Pictures that have a record, each once, in the order of their source."""
        seen: set[np.uint64] = set()
        for path in sorted(self.parts.glob('[!.]*.json')):
            for name, stem, words in json.loads(path.read_text(encoding='utf-8')):
                number = _hash(stem)
                if number not in seen:
                    seen.add(number)
                    yield PictureRecord(name, stem, [tuple(word) for word in words])

    def start(self, processes: Processes) -> Path:
        """Forget how this process ended before.

        Returns:
            Path: An empty folder of this process, for what is not yet whole.
        """
        self._end(processes, processes.rank).unlink(missing_ok=True)
        own = self.halves / str(processes.rank)
        for folder in self.halves.glob('*'):
            other = int(folder.name) < processes.count and folder != own
            if not other:  # of this process, or of one that is no more
                shutil.rmtree(folder, ignore_errors=True)
        own.mkdir(parents=True)
        return own

    def end(self, processes: Processes, bad: Mapping[str, str]
            ) -> dict[str, str] | None:
        """Note that a process has done its part.

        Args:
            processes: This process among those that share the work.
            bad: Its pictures that could not be used, and why.

        Returns:
            dict: The bad pictures of all processes if this is the last one to end,
            otherwise None.
        """
        write_json(self._end(processes, processes.rank),
                   dict(start=processes.start, bad=dict(bad)))
        shutil.rmtree(self.halves / str(processes.rank))
        all_bad: dict[str, str] = {}
        for rank in range(processes.count):
            path = self._end(processes, rank)
            if not path.is_file():
                return None
            end = json.loads(path.read_text(encoding='utf-8'))
            if end['start'] != processes.start:
                return None
            all_bad |= end['bad']
        for path in self.ends.glob('*.json'):
            if not path.stem.endswith(f'-of-{processes.count}'):
                path.unlink(missing_ok=True)
        return dict(sorted(all_bad.items()))

    def _end(self, processes: Processes, rank: int) -> Path:
        return self.ends / f'{rank}-of-{processes.count}.json'
