"""What a table of the paper is made of, and the configurations that its rows need.

A configuration has one name in all worlds, see ``table_config``: the real one
(COCO-Stuff and the five benchmarks), the small drawn one, and the scenes of that one.
"""

from dataclasses import dataclass
from pathlib import Path

PAPER_BENCHMARKS = ('A-847', 'PC-459', 'A-150', 'PC-59', 'PAS-20')
FULL = 'full'  # the whole model


@dataclass(frozen=True)
class World:
    """Where a table is reproduced.

    Attributes:
        folder: Below configs/ablations.
        full: Config of the whole model.
        benchmarks: Standing for ``PAPER_BENCHMARKS``.
        theta: Threshold of the whole model, for its row in Table VII.
        options: key=value that make configs of the folder those of this world.
    """
    folder: str
    full: str
    benchmarks: tuple[str, ...]
    theta: str
    options: tuple[str, ...] = ()


WORLDS = dict(
    mini=World('mini', 'dcpclip_mini_paper',
               ('mini-847', 'mini-459', 'mini-150', 'mini-59', 'mini-20'), '0.05'),
    # The configs of the small world on other pictures.
    scenes=World('mini', 'dcpclip_mini_paper',
                 ('scene-847', 'scene-459', 'scene-150', 'scene-59', 'scene-20'),
                 '0.05', tuple(f'{split}_dataloader.dataset.scenes=True'
                               for split in ('train', 'val', 'test'))),
    real=World('vitb16', 'dcpclip_vitb16_coco_paper',
               ('ade20k_847', 'pascal_context_459', 'ade20k_150', 'pascal_context_59',
                'pascal_voc_20'), '0.5'))

# What acts at test time only: with and without it is one training.
SAME_TRAINING = dict(dcs_tga='decoder_0_layers', dcs_sed='tga_none', dcs_tga_sed=FULL,
                     ce_refined='ce', ce_refined_shift='ce')
NOT_TRAINED = ('dcpclip_mini_frozen', )


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: As in the paper.
        paper: Its figures, one per column with a heading of the paper; () if the
            paper has no such row.
        config: Our configuration, None if the row is another method's.
    """
    name: str
    paper: tuple[float | None, ...] = ()
    config: str | None = None


@dataclass(frozen=True)
class Column:
    """One quantity.

    Attributes:
        measure: See ``report.measure``.
        benchmark: Place in ``PAPER_BENCHMARKS``, None for what belongs to a run.
        paper: Heading of the paper's figures, None if it has none.
        ours: Heading of ours, None: the name of the benchmark.
        digits: Shown behind the point.
    """
    measure: str
    benchmark: int | None = None
    paper: str | None = None
    ours: str | None = None
    digits: int = 2


@dataclass(frozen=True)
class Claim:
    """A difference of two configurations that the paper, or this project, claims.

    Attributes:
        text: What is claimed.
        first: Configuration.
        second: The one it is compared with.
        rule: ``'raises'``: first - second is positive beyond its spread; ``'saves'``:
            so is second - first; ``'keeps'``: first - second is at least -margin;
            ``'loses nothing'``: it is not negative beyond its spread.
        measure: See ``report.measure``; scores are averaged over the benchmarks.
        margin: For ``'keeps'``.
    """
    text: str
    first: str
    second: str
    rule: str = 'raises'
    measure: str = 'unseen_mIoU'
    margin: float = 0.0


@dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes:
        number: In Arabic numerals.
        title: Its subject.
        columns: Quantities.
        rows: From top to bottom.
        claims: What it is to show.
    """
    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...] = ()

    def configs(self) -> list[str]:
        """Our configurations that rows or claims need, each once."""
        names = [row.config for row in self.rows if row.config]
        names += [name for claim in self.claims for name in (claim.first, claim.second)]
        return list(dict.fromkeys(names))


def training_of(config: str) -> str | None:
    """Configuration that is trained for this one; None: it needs no training."""
    return None if config in NOT_TRAINED else SAME_TRAINING.get(config, config)


def table_config(config: str, world: str, configs: Path) -> Path:
    """File of a configuration.

    Args:
        config: Its name.
        world: Key of ``WORLDS``.
        configs: The folder of all configs.

    Returns:
        Path: Below ``configs``; nobody has looked whether it is there.
    """
    if config == FULL:
        return configs / f'{WORLDS[world].full}.py'
    if config.startswith('dcpclip_'):
        return configs / f'{config}.py'
    # mim finds configs by their file names alone, so these differ between worlds.
    folder = WORLDS[world].folder
    return configs / 'ablations' / folder / f'dcpclip_{folder}_{config}.py'
