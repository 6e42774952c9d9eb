"""Where the configs are that belong to this version of the package."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# A wheel carries them as OpenMMLab's packages do; a checkout has them beside.
FOLDERS = (PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs')


def configs_folder() -> Path:
    """The folder of all configs.

    Raises:
        FileNotFoundError: The package was installed without them.
    """
    for folder in FOLDERS:
        if (folder / '_base_').is_dir():
            return folder
    raise FileNotFoundError(
        'this installation of mmseg_dcpclip has no configs: install it from a checkout '
        'with `pip install -e .`')


def config_path(name: str) -> Path:
    """Path of a config by its name.

    Args:
        name: Path below the folder of configs, without ``.py``, for example
            ``'dcpclip_mini'`` or ``'_base_/datasets/ade20k_150'``.

    Raises:
        FileNotFoundError: There is no such config.
    """
    path = configs_folder() / f'{name}.py'
    if not path.is_file():
        raise FileNotFoundError(f'no config {name!r} in {path.parent}')
    return path
