"""Pictures in tars of the WebDataset form."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...extras import require
from ..sources import PICTURES
from .parts import PART, Item, Part, Share

TARS = ('.tar', '.tar.gz', '.tgz')


def is_tar(source: str) -> bool:
    """Whether a source names tars."""
    return source.lower().endswith(TARS)


@dataclass
class TarSource:
    """Tars, read from their beginning to their end.

    With as many tars as workers or more, each worker reads tars of its own; with fewer,
    all read all and decode their parts.

    Attributes:
        shards: The tars, as webdataset opens them: files, or URLs.
    """
    shards: list[str]

    @classmethod
    def of(cls, patterns: Sequence[str]) -> 'TarSource':
        """Tars by their names, with braces or without: ``'shards-{000..099}.tar'``.

        Raises:
            ModuleNotFoundError: webdataset is not installed.
            FileNotFoundError: There is no such file.
        """
        expand = require('webdataset', 'bulk').shardlists.expand_urls
        shards = list(dict.fromkeys(
            shard for pattern in patterns for shard in expand(pattern)))
        for shard in shards:
            if ':' not in shard and not os.path.isfile(shard):
                raise FileNotFoundError(f'no such tar: {shard}')
        return cls(shards)

    @property
    def origin(self) -> str:
        """str: The folder of the first tar."""
        first = self.shards[0]
        return os.path.dirname(first if ':' in first else os.path.abspath(first))

    def count(self, share: Share) -> None:
        """Tars do not say how much is in them."""
        return None

    def parts(self, share: Share) -> Iterator[Part]:
        """Every so many samples of a tar one part.

        Args:
            share: Which of the tars, or of the parts.
        """
        by_shard = len(self.shards) >= share.count
        number = 0
        for i, shard in enumerate(self.shards):
            if by_shard and not share.has(i):
                continue
            for j, items in enumerate(_in_parts(_items(shard))):
                if by_shard or share.has(number):
                    yield Part(f'{i:06d}-{j:06d}', items)
                number += 1


def _in_parts(items: Iterator[Item]) -> Iterator[list[Item]]:
    part: list[Item] = []
    for item in items:
        part.append(item)
        if len(part) == PART:
            yield part
            part = []
    if part:
        yield part


def _items(shard: str) -> Iterator[Item]:
    """The samples of a tar; what is wrong with the tar itself is the last of them."""
    wds = require('webdataset', 'bulk')
    errors: list[Exception] = []

    def keep(error: Exception) -> bool:
        errors.append(error)
        return False  # what follows cannot be read either

    samples = wds.DataPipeline(wds.SimpleShardList([shard]),
                               wds.tarfile_to_samples(handler=keep))
    for sample in samples:
        key = sample['__key__']
        if os.path.isabs(key) or '..' in key.split('/'):  # nothing beside the output
            yield Item(key, '', ValueError(
                f'{key} in {shard}: a key must not lead out of the tar'))
        else:
            yield Item(key, key, _picture_in(sample, shard))
    if errors:
        yield Item(shard, '', ValueError(
            f'{shard} cannot be read to its end: {_said(errors[0])}; copy it again'))


def _picture_in(sample: dict, shard: str) -> bytes | Exception:
    """The picture among the files of a sample."""
    for suffix in ('.jpg', '.jpeg', *PICTURES):
        if suffix[1:] in sample:
            return sample[suffix[1:]]
    there = ', '.join(name for name in sample if not name.startswith('__'))
    return ValueError(f'{sample["__key__"]} in {shard} has no picture, only {there}')


def _said(error: Exception) -> str:
    """Without the objects that webdataset adds."""
    return str(error.args[0] if error.args else error).partition(' @ ')[0]
