"""Weights that others published: where to get them, where they lie on this machine.

open_clip keeps what it downloads in the cache of huggingface_hub or in
``~/.cache/clip``. Both are searched without the network, and a file copied there by
hand is as good as a downloaded one. Only ``PublishedWeights.fetch`` and
``PublishedWeights.activation`` of a name that nobody here knows use the network.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import open_clip
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.file_download import repo_folder_name
from open_clip.pretrained import download_pretrained, get_pretrained_cfg

from ..weight_files import AGAIN, WeightFileError

HUB = 'hf-hub:'
HUB_CONFIG = 'open_clip_config.json'
# In the order in which open_clip asks for them; each repository uses the same names.
HUB_FILES = ('open_clip_model.safetensors', 'open_clip_pytorch_model.bin')


@dataclass(frozen=True)
class PublishedWeights:
    """Weights of CLIP that have a name.

    Attributes:
        name: For messages.
        repository: ``ORG/NAME`` on Hugging Face, or ''.
        files: Names of the file there, the first that exists counts.
        url: Another place, or ''.
        quick_gelu: Whether they were trained with QuickGELU; None: not known by name.
    """
    name: str
    repository: str
    files: tuple[str, ...]
    url: str
    quick_gelu: bool | None

    @property
    def ways(self) -> list[tuple[str, str, Path]]:
        """(page, file names, folder to copy the file to) by hand, the best first."""
        ways = []
        if self.repository:
            names = ' or '.join(self.files)
            if self.quick_gelu is None:
                names = f'{HUB_CONFIG} and {names}'
            ways.append((f'https://huggingface.co/{self.repository}', names,
                         _hub_folder(self.repository)))
        if self.url:
            ways.append((self.url, self.url_file.name, self.url_file.parent))
        return ways

    @property
    def url_file(self) -> Path:
        """Where open_clip keeps what it downloads from the url."""
        return Path('~/.cache/clip').expanduser() / self.url.rpartition('/')[2]

    def find(self) -> Path | None:
        """The file on this machine, or None."""
        for name in self.files:
            path = _in_hub_cache(self.repository, name)
            if path:
                return path
        return self.url_file if self.url and self.url_file.is_file() else None

    def fetch(self) -> Path:
        """Download the file, as open_clip does.

        Raises:
            RuntimeError: It cannot be had; says where it is and where to copy it.
        """
        file = '' if len(self.files) > 1 else ''.join(self.files)
        try:
            return Path(download_pretrained(dict(
                url=self.url, hf_hub=self.repository and f'{self.repository}/{file}')))
        except Exception as error:  # whatever the network and its libraries raise
            page, names, folder = self.ways[0]
            raise RuntimeError(
                f'cannot get the weights {self.name} ({type(error).__name__}): on a '
                f'machine with network fetch {names} from {page} and copy it, the '
                f'name kept, to {folder}') from error

    @property
    def expected(self) -> str:
        """How the SHA-256 of the url's file begins by open_clip's list, or ''."""
        if 'openaipublic' in self.url:
            return self.url.split('/')[-2]
        match = re.search(r'mlfoundations.*-([0-9a-f]{8})\.\w+$', self.url)
        return match[1] if match else ''

    def verify(self, path: Path) -> bool:
        """Check a found file.

        Returns:
            bool: Whether there is a checksum for it: open_clip's for a file of the
            url, for one of Hugging Face the name of its blob.

        Raises:
            WeightFileError: The checksum is another.
        """
        expected = self.expected if path == self.url_file else path.resolve().name
        if not re.fullmatch('[0-9a-f]{8}|[0-9a-f]{64}', expected):
            return False
        with path.open('rb') as file:
            found = hashlib.sha256()
            while part := file.read(1 << 20):
                found.update(part)
        if not found.hexdigest().startswith(expected):
            raise WeightFileError(
                f'{path} is not the file of {self.name}: its SHA-256 begins with '
                f'{found.hexdigest()[:8]} and should with {expected[:8]}; {AGAIN}')
        return True

    def activation(self, network: bool = True) -> bool | None:
        """Whether they were trained with QuickGELU; None: nothing tells.

        The config in the repository is asked, then open_clip's list; a config without
        the key says no, as open_clip reads it.

        Args:
            network: Whether the config may be downloaded.
        """
        if self.quick_gelu is not None:
            return self.quick_gelu
        config = _in_hub_cache(self.repository, HUB_CONFIG)
        of_tag = _quick_gelu_of_repository(self.repository)
        if config is None and of_tag is None:
            if not network:
                return None
            try:
                config = Path(hf_hub_download(self.repository, HUB_CONFIG))
            except Exception:  # no network, or no such file
                return None
        said = _quick_gelu_of_config(config) if config else None
        return said if said is not None else bool(of_tag)


def tag_weights(model_name: str, tag: str) -> PublishedWeights | None:
    """The weights of a pretrained tag of open_clip, or None."""
    config = get_pretrained_cfg(model_name, tag)
    if not config:
        return None
    repository, _, file = config.get('hf_hub', '').rpartition('/')
    files = ((file, ) if file else HUB_FILES) if repository else ()
    return PublishedWeights(f'{tag!r} of {model_name}', repository, files,
                            config.get('url', ''), bool(config.get('quick_gelu')))


def hub_weights(name: str) -> PublishedWeights:
    """The weights of ``hf-hub:ORG/NAME``.

    Raises:
        ValueError: The name has another form.
    """
    repository = name.removeprefix(HUB)
    if not re.fullmatch(r'[\w.-]+/[\w.-]+', repository):
        raise ValueError(f'pretrained={name!r}: expected {HUB}ORG/NAME, the name of a '
                         'model with open_clip weights on https://huggingface.co')
    return PublishedWeights(repr(name), repository, HUB_FILES, '', None)


def quick_gelu_of_file(path: Path) -> bool | None:
    """Whether weights in a file were trained with QuickGELU, by its surroundings.

    Args:
        path: The file. A config of Hugging Face beside it is asked, then the name of
            the cache's folder that it is in, then its own name.

    Returns:
        bool | None: None if nothing tells.

    Raises:
        ValueError: Nothing tells, and the file has the name that all files of
            Hugging Face have, those with and those without QuickGELU.
    """
    config = path.with_name(HUB_CONFIG)
    known = _quick_gelu_of_config(config) if config.is_file() else None
    for folder in path.absolute().parents:
        if known is None and folder.name.startswith('models--'):
            known = _quick_gelu_of_repository(
                folder.name.removeprefix('models--').replace('--', '/', 1))
    for source in _all_tags():
        if known is None and source.url and source.url_file.name == path.name:
            known = source.quick_gelu
    if known is None and path.name in HUB_FILES and not config.is_file():
        raise ValueError(
            f'{path}: nothing says whether these weights were trained with QuickGELU; '
            f'put {HUB_CONFIG} of their page beside them, or give the model '
            'quick_gelu=True (OpenAI, DFN, MetaCLIP) or False (LAION, DataComp)')
    return known


def _all_tags() -> Iterator[PublishedWeights]:
    for model_name, tag in open_clip.list_pretrained():
        source = tag_weights(model_name, tag)
        if source:
            yield source


def _quick_gelu_of_repository(repository: str) -> bool | None:
    """What open_clip's list says of a repository."""
    said = [source.quick_gelu for source in _all_tags()
            if source.repository.lower() == repository.lower()]
    return any(said) if said else None


def _quick_gelu_of_config(path: Path) -> bool | None:
    """What the config in a repository says; None without the key."""
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
        return config.get('model_cfg', config).get('quick_gelu')
    except (ValueError, AttributeError) as error:
        raise ValueError(f'{path} is no config of open_clip ({error}): {AGAIN}'
                         ) from error


def _hub_folder(repository: str) -> Path:
    """Where a file copied by hand is found as one of a repository."""
    folder = repo_folder_name(repo_id=repository, repo_type='model')
    return Path(constants.HF_HUB_CACHE, folder, 'snapshots', 'main')


def _in_hub_cache(repository: str, name: str) -> Path | None:
    """A file of a repository on this machine, downloaded or copied."""
    found = try_to_load_from_cache(repository, name)
    path = Path(found) if isinstance(found, (str, os.PathLike)) else (
        _hub_folder(repository) / name)
    return path if path.is_file() else None
