"""Where the configs are that belong to this version of the package."""

from difflib import get_close_matches
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# A wheel carries them as OpenMMLab's packages do; a checkout has them beside.
FOLDERS = (PACKAGE / '.mim' / 'configs' / 'dcpclip', PACKAGE.parent / 'configs')


def configs_folder() -> Path:
    """The folder of all configs.

    Raises:
        FileNotFoundError: The package was installed without them.
    """
    for folder in FOLDERS:
        if (folder / '_base_').is_dir():
            return folder
    raise FileNotFoundError(
        'this installation of mmseg_dcpclip has no configs: install the wheel, or a '
        'checkout with `pip install -e .`')


def config_path(name: str) -> Path:
    """Path of a config by its name.

    Args:
        name: Name of a config, for example ``'dcpclip_mini'``, or its path below the
            folder of configs, ``'_base_/datasets/ade20k_150'``; without ``.py``.

    Raises:
        FileNotFoundError: There is no such config; names those that are like it.
    """
    folder = configs_folder()
    path = folder / f'{name}.py'
    if path.is_file():
        return path
    by_name = {path.stem: path for path in folder.rglob('*.py')
               if '_base_' not in path.relative_to(folder).parts}
    if name in by_name:
        return by_name[name]
    like = get_close_matches(name, by_name, cutoff=0.5) or sorted(
        path.stem for path in folder.glob('*.py'))
    raise FileNotFoundError(f'no config {name!r} in {folder}; there are '
                            f'{", ".join(like)}, ...')


def find_config(config: str | Path) -> Path:
    """A config by its path or by its name.

    Args:
        config: A file, or a name as ``config_path`` takes it.

    Raises:
        FileNotFoundError: It is neither.
    """
    path = Path(config)
    if path.is_file():
        return path
    if path.suffix == '.py':
        raise FileNotFoundError(f'no such config: {config}')
    return config_path(str(config))
