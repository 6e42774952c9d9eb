"""Table 8, which the paper does not have: what might raise accuracy at the same cost,
and what a user would pick instead."""

from .tables import FULL, PAPER_BENCHMARKS, Claim, Column, Row, Table

_COLUMNS = (
    *(Column('mIoU', i) for i in range(len(PAPER_BENCHMARKS))),
    Column('train_seconds', None, None, 'training (s)', 1),
    Column('GiB', None, None, 'memory (GiB)', 3),
    Column('seconds_per_image', 4, None, 's per image, 20 words', 4),
    Column('seconds_per_image', 2, None, '150 words', 4),
    Column('seconds_per_image', 0, None, '847 words', 4))

# By configuration the row's name, and the configuration that differs in this one thing.
CHOICES = dict(
    ce=('+ cross-entropy', FULL),
    ce_03=('its weight 0.3', FULL),
    ce_3=('its weight 3', FULL),
    ce_alone=('cross-entropy alone', FULL),
    ce_competition=('+ cross-entropy, competition', 'ce'),
    ce_refined=('+ cross-entropy, PAMR', 'ce'),
    ce_refined_shift=('+ cross-entropy, PAMR, shift', 'ce_refined'),
    cost_aggregation=('cost aggregation over every word', FULL))


def table_8() -> Table:
    """The plan of Table 8, the same in all worlds."""
    rows = [Row('as in the paper', (), FULL),
            *(Row(name, (), config) for config, (name, _) in CHOICES.items())]
    claims = [Claim(f'{name} raises it', config, other)
              for config, (name, other) in CHOICES.items()]
    return Table(8, 'choices beyond the paper', _COLUMNS, tuple(rows), tuple(claims))
