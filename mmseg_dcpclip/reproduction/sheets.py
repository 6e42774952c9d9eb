"""Which pictures the contact sheets show: models, benchmarks and their weights."""

from pathlib import Path

from .tables import FULL, WORLDS, table_config, training_of

# By heading the configuration of each column, behind the image and the ground truth.
COLUMNS = dict(
    fig6={'baseline': 'baseline', '+ DCS': 'dcs', '+ TGA': 'dcs_tga',
          '+ SED': 'dcs_tga_sed', '+ TV': FULL},
    fig7={'DCP-CLIP': FULL},
    tv={'without TV': 'dcs_tga_sed', 'with TV': FULL})
FIG7 = (1, 2, 3, 4)  # benchmarks of the paper's figure: PC-459, A-150, PC-59, PAS-20
Models = dict[str, tuple[Path, str]]  # by heading a config and a checkpoint or 'none'


def benchmarks_of(sheet: str, world: str) -> list[str]:
    """Names of the benchmarks that a sheet takes its pictures from.

    Args:
        sheet: Key of ``COLUMNS``.
        world: Key of ``WORLDS``.
    """
    known = WORLDS[world].benchmarks
    return [known[i] for i in FIG7] if sheet == 'fig7' else [known[0]]


def parse_models(texts: list[str]) -> Models:
    """Models given as text, HEADING=CONFIG:CHECKPOINT.

    Args:
        texts: One per column.

    Raises:
        ValueError: One is not of this form.
    """
    models = {}
    for text in texts:
        heading, equals, rest = text.partition('=')
        config, colon, checkpoint = rest.rpartition(':')
        if not equals or not colon:
            raise ValueError(f'--model {text}: expected HEADING=CONFIG:CHECKPOINT, '
                             "with 'none' as checkpoint of a model not trained")
        models[heading] = (Path(config), checkpoint)
    return models


def find_models(sheet: str, world: str, work_dir: Path, seed: int, configs: Path
                ) -> Models:
    """The models of a sheet that ``dcpclip reproduce table3`` has trained.

    Args:
        sheet: Key of ``COLUMNS``.
        world: Key of ``WORLDS``.
        work_dir: Of the command.
        seed: Of the trainings.
        configs: The folder of all configs.

    Raises:
        ValueError: One was not trained.
    """
    return {heading: (table_config(name, world, configs),
                      str(find_checkpoint(name, world, work_dir, seed)))
            for heading, name in COLUMNS[sheet].items()}


def find_checkpoint(name: str, world: str, work_dir: Path, seed: int) -> Path:
    """Last checkpoint that ``dcpclip reproduce`` has trained of a configuration.

    Args:
        name: Of the configuration.
        world: Key of ``WORLDS``.
        work_dir: Of the command.
        seed: Of the training.

    Raises:
        ValueError: There is none.
    """
    trained = training_of(name)
    runs = work_dir / world / 'runs'
    found = [path / 'train' / 'last_checkpoint'
             for path in runs.glob(f'{trained}-{"?" * 8}/seed{seed}')]
    found = sorted((path for path in found if path.is_file()),
                   key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(
            f'no training of {trained} with seed {seed} below {runs}: run dcpclip '
            f'reproduce table3 --world {world} first, or give models with --model')
    return Path(found[-1].read_text().strip())
