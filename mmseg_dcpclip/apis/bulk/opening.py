"""What is given as pictures: files, folders, lists, tars or videos."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..sources import LIST, find_pictures
from .files import FileSource
from .parts import Source
from .tars import TarSource, is_tar
from .videos import VideoSource, is_video


def is_picture(source: str) -> bool:
    """Whether a source is a single picture, not a folder, list, tar or video."""
    return not (is_tar(source) or is_video(source) or source.endswith(LIST)
                or os.path.isdir(source))


def open_source(sources: Sequence[str], leave_out: Path | None = None) -> Source:
    """Find out what is to be segmented.

    Args:
        sources: Pictures, folders and lists of them; or tars; or videos.
        leave_out: A folder that is not searched.

    Raises:
        FileNotFoundError: A source does not exist.
        ValueError: There is no picture in it, or the sources are of several kinds.
        ModuleNotFoundError: What reads tars is not installed.
    """
    kinds = {'tar' if is_tar(s) else 'video' if is_video(s) else '' for s in sources}
    if len(kinds) > 1:
        raise ValueError('pictures, tars and videos are given together; give each kind '
                         'to a command and an --out of its own')
    kind = kinds.pop()
    if kind == 'tar':
        return TarSource.of(sources)
    if kind == 'video':
        return VideoSource(list(sources))
    return FileSource(find_pictures([Path(s) for s in sources], leave_out))
