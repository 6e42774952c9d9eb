"""Keeps the embeddings of vocabularies, so that none is encoded twice.

On disk every vocabulary has a folder, named by a digest of all that its embeddings
depend on: ``meta.json`` says what that was, ``templates.bin`` [C, P, D] and
``mean.bin`` [C, D] hold the bare numbers. A folder appears whole or not at all and
never changes; the cache may be deleted at any time.
"""

import errno
import hashlib
import json
import logging
import math
import os
import shutil
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import torch
from mmengine.logging import print_log
from torch import Tensor

from ...vocabulary import Queries, Vocabulary
from ..structures import TextEmbeddings
from ..tracing import outside_trace
from ..weights import digest_of_weights
from .clip_text import CLIPTextEncoder

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

FORMAT = 1  # to be raised when the same key fields give other numbers
CACHE_VARIABLE = 'MMSEG_DCPCLIP_CACHE'


class TornEntryError(OSError):
    """An entry on disk is not what it should be."""


def cache_folder() -> Path | None:
    """Where embeddings are kept unless told otherwise; None without a home."""
    try:
        folder = os.environ.get(CACHE_VARIABLE) or Path(
            os.environ.get('XDG_CACHE_HOME') or '~/.cache', 'mmseg_dcpclip')
        return Path(folder).expanduser() / 'text'
    except RuntimeError:  # a user without a home, as in some containers
        return None


class TextBank:
    """Embeddings of vocabularies under a key of all they depend on.

    The key holds the words, the templates and the weights, so that neither another
    vocabulary nor changed weights can meet an old entry. The latest entries are kept
    in memory, those of a frozen text tower on disk, too: they are mapped, so that of
    the embeddings per template only the rows in use need memory. A tuned tower's
    embeddings are kept in memory only.

    Args:
        root: Folder of the entries on disk. ``'auto'``: the folder ``text`` in
            ``$MMSEG_DCPCLIP_CACHE``, or else in ``mmseg_dcpclip`` below
            ``$XDG_CACHE_HOME`` or ``~/.cache``. None: nothing is kept on disk.
        capacity: Vocabularies kept in memory; the least recently used one goes first.
        precision: ``'float16'`` or ``'float32'``, of the embeddings per template: kept
            so in memory and on disk, a hit and a miss are alike.
        mean_precision: The same for the mean embeddings, which select categories.
            Half of it turns near ties: 6 of 23,137 selected categories in 1200
            selections among the small world's 847 words.
        on_device: Bytes; larger embeddings per template stay in the CPU's memory or on
            disk.

    Raises:
        ValueError: Another precision, or a capacity below 1.
    """

    def __init__(self, root: str | Path | None = 'auto', capacity: int = 4,
                 precision: str = 'float16', mean_precision: str = 'float32',
                 on_device: int = 2**30) -> None:
        for name, value in (('precision', precision),
                            ('mean_precision', mean_precision)):
            if value not in ('float16', 'float32'):
                raise ValueError(f"text_bank.{name} must be 'float16' or 'float32', "
                                 f'got {value!r}')
        if capacity < 1:
            raise ValueError(f'text_bank.capacity must be positive, got {capacity}')
        self.root = (cache_folder() if root == 'auto' else
                     None if root is None else Path(root).expanduser())
        self.capacity = capacity
        self.on_device = on_device
        self.precision = dict(templates=precision, mean=mean_precision)
        self._entries: OrderedDict[tuple, TextEmbeddings] = OrderedDict()
        self._digest: tuple[tuple | None, str] = (None, '')  # of the weights seen last

    def __len__(self) -> int:
        """Entries in memory."""
        return len(self._entries)

    def get(self, encoder: CLIPTextEncoder, vocabulary: Vocabulary | Queries
           ) -> TextEmbeddings:
        """The embeddings of a vocabulary, computed without gradient if need be."""
        if torch.jit.is_tracing():
            with outside_trace():
                found = self.get(encoder, vocabulary)
                found.first_equal()  # is kept as well
            return found
        key = (vocabulary.words_digest, encoder.templates, encoder.weights_version())
        if key not in self._entries:
            with torch.no_grad(), torch.autocast(
                    encoder.logit_scale.device.type, enabled=False):
                self._entries[key] = self._find(encoder, vocabulary)
            if len(self._entries) > self.capacity:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        return self._entries[key]

    def clear(self) -> None:
        """Forget what is in memory."""
        self._entries.clear()

    def folder(self, encoder: CLIPTextEncoder, vocabulary: Vocabulary | Queries
              ) -> Path | None:
        """Where a vocabulary's entry is or would be; None if not on disk."""
        if self.root is None or encoder.trainable != 'none':
            return None
        fields = json.dumps(self._meta(encoder, vocabulary), sort_keys=True)
        return self.root / hashlib.sha256(fields.encode()).hexdigest()

    def on_disk(self, encoder: CLIPTextEncoder, vocabulary: Vocabulary | Queries
               ) -> bool:
        """Whether a sound entry of the vocabulary is on disk."""
        folder = self.folder(encoder, vocabulary)
        try:
            return bool(folder and _read_entry(folder, self._meta(encoder, vocabulary)))
        except OSError:
            return False

    def _find(self, encoder: CLIPTextEncoder, vocabulary: Vocabulary | Queries
             ) -> TextEmbeddings:
        """From disk if it is there, else encoded and, if possible, kept there."""
        folder, device = self.folder(encoder, vocabulary), encoder.logit_scale.device
        if folder is None:
            return self._encode(encoder, vocabulary)
        meta = self._meta(encoder, vocabulary)
        try:
            return self._place(*_read_entry(folder, meta), device)
        except OSError:
            pass  # judged below, where no other process is writing it
        with _lock(folder) as locked:
            try:
                return self._place(*_read_entry(folder, meta), device)
            except FileNotFoundError:
                pass
            except TornEntryError as error:
                warnings.warn(f'{folder} is no sound entry of the text bank ({error}): '
                              'it is encoded anew', stacklevel=3)
            try:
                if locked:  # nobody else writes this entry: a killed process did
                    for leftover in folder.parent.glob(f'.{folder.name}.*'):
                        shutil.rmtree(leftover, ignore_errors=True)
                _write_entry(folder, meta, self._blocks(encoder, vocabulary))
                entry = self._place(*_read_entry(folder, meta), device)
                print_log(f'text bank: wrote {len(vocabulary)} categories to {folder}',
                          'current')
                return entry
            except OSError as error:
                warnings.warn(
                    f'cannot keep text embeddings in {self.root} '
                    f'({error.strerror or error}), they are encoded at every start: '
                    f'set {CACHE_VARIABLE} or text_bank=dict(root=...) to a folder '
                    'with room that can be written, or root=None', stacklevel=3)
        return self._encode(encoder, vocabulary)

    def _encode(self, encoder: CLIPTextEncoder, vocabulary: Vocabulary | Queries
                ) -> TextEmbeddings:
        blocks = list(self._blocks(encoder, vocabulary))
        return self._place(torch.cat([block.templates for block in blocks]),
                           torch.cat([block.mean for block in blocks]),
                           encoder.logit_scale.device)

    def _place(self, templates: Tensor, mean: Tensor, device: torch.device
               ) -> TextEmbeddings:
        """Embeddings on the encoder's device, as far as they are small enough."""
        if templates.nbytes <= self.on_device:
            templates = templates.to(device)
        return TextEmbeddings(templates, mean.to(device))

    def _blocks(self, encoder: CLIPTextEncoder, vocabulary: Vocabulary | Queries
                ) -> Iterator[TextEmbeddings]:
        """Some categories at a time, on the CPU in the precision of the bank."""
        dtypes = {k: getattr(torch, v) for k, v in self.precision.items()}
        for templates in encoder.encode_blocks(vocabulary):
            block = TextEmbeddings.from_templates(templates)
            yield TextEmbeddings(block.templates.to('cpu', dtypes['templates']),
                                 block.mean.to('cpu', dtypes['mean']))

    def _meta(self, encoder: CLIPTextEncoder, vocabulary: Vocabulary | Queries) -> dict:
        """All that an entry depends on, and what follows from it."""
        version = encoder.weights_version()
        if self._digest[0] != version:
            self._digest = version, digest_of_weights(encoder.text)
        dims = encoder.text.output_dim
        shapes = dict(templates=[len(vocabulary), len(encoder.templates), dims],
                      mean=[len(vocabulary), dims])
        return dict(
            format=FORMAT, words=vocabulary.words_digest,
            templates=list(encoder.templates), model_name=encoder.model_name,
            heads=encoder.text.heads,
            quick_gelu=bool(encoder.quick_gelu), weights=self._digest[1],
            precision=self.precision, shapes=shapes,
            bytes={k: getattr(torch, self.precision[k]).itemsize * math.prod(shape)
                   for k, shape in shapes.items()})


def _read_entry(folder: Path, meta: dict) -> tuple[Tensor, Tensor]:
    """Map the templates of an entry and read their mean.

    Raises:
        FileNotFoundError: There is no such entry.
        TornEntryError: It is torn or another one's, says how.
    """
    if not os.path.lexists(folder):
        raise FileNotFoundError(folder)
    try:
        found = json.loads((folder / 'meta.json').read_bytes())
        mean = (folder / 'mean.bin').read_bytes()
        size = (folder / 'templates.bin').stat().st_size
    except OSError as error:
        raise TornEntryError(f'it cannot be read: {error}') from error
    except ValueError as error:
        raise TornEntryError(f'meta.json is broken: {error}') from error
    if not isinstance(found, dict):
        raise TornEntryError('meta.json is broken: no fields')
    wrong = [name for name in meta if found.get(name) != meta[name]]
    if wrong:
        raise TornEntryError(f'its meta.json has other {", ".join(wrong)}')
    if size != meta['bytes']['templates']:
        raise TornEntryError(f'templates.bin has {size} bytes instead of '
                             f'{meta["bytes"]["templates"]}')
    if (len(mean) != meta['bytes']['mean']
            or hashlib.sha256(mean).hexdigest() != found.get('mean_sha256')):
        raise TornEntryError('mean.bin is not what meta.json says')
    dtypes = {k: getattr(torch, v) for k, v in meta['precision'].items()}
    shapes = meta['shapes']
    templates = torch.from_file(str(folder / 'templates.bin'), shared=False,
                                size=math.prod(shapes['templates']),
                                dtype=dtypes['templates'])
    print_log(f'text bank: {folder}', 'current', logging.DEBUG)
    means = torch.frombuffer(bytearray(mean), dtype=dtypes['mean'])
    return templates.view(shapes['templates']), means.view(shapes['mean'])


def _write_entry(folder: Path, meta: dict, blocks: Iterator[TextEmbeddings]) -> None:
    """Write an entry block after block; what was there before goes.

    Files are written, not mapped: a full disk is an OSError then, not a SIGBUS.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    temporary = folder.with_name(f'.{folder.name}.{uuid4().hex}')
    try:
        temporary.mkdir(parents=True)
        needed = sum(meta['bytes'].values())
        if shutil.disk_usage(temporary).free < needed:  # known before the work is done
            raise OSError(errno.ENOSPC, f'{needed / 1e6:.1f} MB are needed')
        means = []
        with (temporary / 'templates.bin').open('wb') as file:
            for block in blocks:
                file.write(block.templates.numpy().data)
                means.append(block.mean)
            _flush(file)
        mean = torch.cat(means).numpy().tobytes()
        content = dict(meta, mean_sha256=hashlib.sha256(mean).hexdigest())
        for name, data in (('mean.bin', mean),
                           ('meta.json', json.dumps(content, indent=1).encode())):
            with (temporary / name).open('wb') as file:
                file.write(data)
                _flush(file)
        _replace(folder, temporary, meta)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(folder: Path, temporary: Path, meta: dict) -> None:
    """Put a finished entry in its place; a sound one that is there stays."""
    try:
        _read_entry(folder, meta)
    except FileNotFoundError:
        pass
    except TornEntryError:
        torn = temporary.with_name(f'{temporary.name}.torn')
        os.rename(folder, torn)
        shutil.rmtree(torn, ignore_errors=True)
    try:
        os.rename(temporary, folder)
    except OSError:
        if not folder.is_dir():  # else another process without locks was quicker
            raise


def _flush(file: BinaryIO) -> None:
    """To the disk itself, so that a renamed folder never holds less after a crash."""
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Let one process at a time at an entry, the others wait.

    Yields:
        bool: Whether it is locked; not every file system can, and a read-only one
        need not.
    """
    with ExitStack() as stack:
        locked = False
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            path = folder.with_name(f'{folder.name}.lock')
            file = stack.enter_context(path.open('a'))
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    print_log('text bank: waiting for another process that encodes '
                              'these words', 'current')
                    fcntl.flock(file, fcntl.LOCK_EX)
                locked = True
        except OSError:
            pass
        yield locked
