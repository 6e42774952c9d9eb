"""Lets mmengine read weights as ``read_weight_file`` does, on every route.

mmengine reads through ``CheckpointLoader``: ``load_from``, ``resume`` and ``init_cfg``
of whatever Runner, mmseg's ``init_model`` and inferencers, published checkpoints. Its
own loaders fall back to running what a file holds; ours are put in their places when
the models of this package are imported.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_rank
from mmengine.fileio import get_file_backend
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengines
from torch import Tensor

from .. import catalogue
from .delta import complete, header_of
from .weight_files import MapLocation, WeightFileError, read_weight_file
from .weights import WeightsError

SHIPPED = 'mmseg_dcpclip://'  # before the name of a config


def load_from_local(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Read a file as ``read_weight_file`` does.

    Args:
        filename: Its path.
        map_location: As in ``torch.load``.

    Returns:
        dict: Without ``meta['config']``, a program that mmengine would run on resume.
        What the file leaves to CLIP is there, see ``delta``. A bare state dict is put
        where checkpoints have theirs, as mmseg expects it.
    """
    checkpoint = dict(read_weight_file(filename, map_location))
    clip = header_of(filename)
    if clip is not None:
        checkpoint = complete(checkpoint, clip)
    if all(isinstance(value, Tensor) for value in checkpoint.values()):
        # mmseg asks for a number of classes without it; our models have words
        ours = any(key.startswith('text_encoder.') for key in checkpoint)
        checkpoint = dict(state_dict=checkpoint,
                          meta=dict(dataset_meta={}) if ours else {})
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    return checkpoint


def load_from_http(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Download a file once, into torch's own cache, and read it.

    Raises:
        RuntimeError: It cannot be downloaded.
    """
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(filename).path).name)
    for turn in (True, False):  # the first process, then those of other machines
        if turn == (get_rank() == 0) and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(filename, str(path),
                                               progress=sys.stderr.isatty())
            except OSError as error:
                raise RuntimeError(
                    f'cannot download {filename} ({error}): on a machine with network '
                    'get the file, copy it here and give its path') from error
        barrier()
    return load_from_local(str(path), map_location)


def load_from_name(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Read weights by the name that torchvision or OpenMMLab gave them.

    Raises:
        WeightFileError: There is no such name.
    """
    scheme, _, name = filename.partition('://')
    if scheme in ('modelzoo', 'torchvision'):
        places = mmengines.get_torchvision_models()
    elif scheme == 'mmcls':
        places = mmengines.get_mmcls_models()
    else:
        name = mmengines.get_deprecated_model_names().get(name, name)
        places = mmengines.get_external_models()
    if name not in places:
        raise WeightFileError(f'mmengine knows no weights {filename}: give a file or '
                              'a URL')
    place = places[name]
    if place.startswith(('http://', 'https://')):
        checkpoint = load_from_http(place, map_location)
    else:
        checkpoint = load_from_local(
            str(Path(mmengines._get_mmengine_home(), place)), map_location)
    if scheme == 'mmcls':
        return mmengines._process_mmcls_checkpoint(checkpoint)
    return checkpoint


def load_from_package(filename: str, map_location: MapLocation = None
                      ) -> dict[str, Any]:
    """Read trained weights that the package ships, ``mmseg_dcpclip://dcpclip_mini``.

    Raises:
        WeightFileError: There are none of that name.
    """
    name = filename.removeprefix(SHIPPED)
    if name not in catalogue.TRAINED_WEIGHTS:
        known = ', '.join(SHIPPED + config for config in catalogue.TRAINED_WEIGHTS)
        raise WeightFileError(f'the package has no trained weights {filename}; there '
                              f'are {known}')
    return load_from_local(str(catalogue.TRAINED_WEIGHTS[name]), map_location)


def load_from_ceph(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Read weights of a store that mmengine has a client for."""
    backend = get_file_backend(filename, backend_args=dict(backend='petrel'))
    with backend.get_local_path(filename) as path:
        return load_from_local(str(path), map_location)


def load_from_pavi(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Refuse what only mmengine's own loader could read.

    Raises:
        WeightFileError: Always.
    """
    raise WeightFileError(f'{filename}: download the file and give its path')


def register_routes() -> None:
    """Put the loaders in the places of mmengine's."""
    for prefixes, loader in (
            ('', load_from_local),
            (('http://', 'https://'), load_from_http),
            (('modelzoo://', 'torchvision://', 'open-mmlab://', 'openmmlab://',
              'mmcls://'), load_from_name),
            (SHIPPED, load_from_package),
            ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_ceph),
            ('pavi://', load_from_pavi)):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint as mmengine does.

    Args:
        path: A file, a URL, or a name that mmengine knows.

    Raises:
        FileNotFoundError: There is no such file.
        WeightFileError: It holds no weights that can be read safely.
    """
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')


def trained_with(checkpoint: Mapping[str, Any]) -> str | None:
    """Name of the config that mmengine noted in a checkpoint."""
    meta = checkpoint.get('meta')
    name = meta.get('experiment_name') if isinstance(meta, Mapping) else None
    return re.sub(r'_\d{8}_\d{6}$', '', name) if isinstance(name, str) else None


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Let what is said of weights that do not fit name file and config.

    Args:
        path: The checkpoint that is loaded inside.

    Raises:
        WeightsError: As raised inside, with more to say.
    """
    try:
        yield
    except WeightsError as error:
        config = trained_with(read_checkpoint(path))
        hint = f' (trained with the config {config})' if config else ''
        raise WeightsError(f'{path}{hint}: {error}') from error
