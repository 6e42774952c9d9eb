"""The tables that ``dcpclip benchmark`` prints."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

HEADER = ('model', 'words', 'selected', 'phase', 'x CLIP', 'seconds', 'q1 - q3',
          'extra GB', 'words GB', 'G multiply-adds')
# Lines of Table II behind the parts: heading, key, digits.
LINES = (
    ('learnable (M), as configured', 'learnable_m', 2),
    ('learnable (M), as the paper counts', 'learnable_paper_m', 2),
    ('total (M)', 'total_m', 2),
    ('training (min)', 'train_min', 1),
    ('inference (s per image)', 'seconds', 2),
    ('GFLOPs of all views (multiply-adds)', 'gflops', 1),
    ('views', 'views', 0),
    ('mIoU', 'miou', 1))


def rows_table(head: Mapping) -> 'Table':
    """The rows of a run.

    Args:
        head: What is written as JSON.
    """
    from rich.table import Table
    auto = any(row.get('selection') == 'auto' for row in head['rows'])
    table = Table(*HEADER, title=f'{head["config"]} on {_where(head)}, '
                  f'{head["size"]} pixels',
                  caption='* what the selection finds for random weights and words'
                  if auto else None)
    for row in head['rows']:
        table.add_row(*_cells(row))
    return table


def efficiency_table(head: Mapping) -> 'Table':
    """The columns of Table II, the paper's last.

    Args:
        head: What is written as JSON.
    """
    from rich.table import Table
    rows = (*head['efficiency'], head['paper'])
    table = Table('', *(row['model'] for row in rows), title=f'Table II on '
                  f'{_where(head)}')
    for part in rows[0]['parts_m']:
        table.add_row(f'{part} (M)', *(_number(row.get('parts_m', {}).get(part))
                                       for row in rows))
    for name, key, digits in LINES:
        values = [row.get(key) for row in rows]
        table.add_row(name, *(_number(v['median'] if isinstance(v, dict) else v, digits)
                              for v in values))
    return table


def pipeline_table(head: Mapping) -> 'Table':
    """Pictures from disk to disk, and where the time goes.

    Args:
        head: What is written as JSON.
    """
    from rich.table import Table
    found = head['pipeline']
    table = Table('stage', 'ms a picture', 'share', title=f'{head["config"]} on '
                  f'{_where(head)}, {found["pictures"]} pictures', caption=(
                      f'bare network {found["network"]:.2f} pictures a second, disk to '
                      f'disk {found["pipeline"]:.2f}: {found["ratio"]:.2f} of it'))
    total = sum(found['stages'].values())
    for stage, seconds in found['stages'].items():
        table.add_row(stage, f'{1000 * seconds:.2f}', f'{100 * seconds / total:.1f}%')
    return table


def read_outs_table(head: Mapping) -> 'Table':
    """The encoder by read-out.

    Args:
        head: What is written as JSON.
    """
    from rich.table import Table
    table = Table('read-out', 'x plain', 'seconds', 'q1 - q3', 'x multiply-adds',
                  title=f'{head["config"]}, its encoder on {_where(head)}, '
                  f'{head["size"]} pixels')
    for row in head['read_outs']:
        time = row['seconds']
        table.add_row(row['read_out'], _number(row['time_ratio'], 3),
                      _number(time['median'], 4),
                      f'{time["q1"]:.3f} - {time["q3"]:.3f}', _number(
                          row['gflops_ratio'], 3))
    return table


def modes_table(head: Mapping) -> 'Table':
    """Modes and further forms of a picture.

    Args:
        head: What is written as JSON.
    """
    from rich.table import Table
    table = Table('mode', '--tta', 'views', 'pixels', 'x first', 'seconds', 'q1 - q3',
                  title=f'{head["config"]} on {_where(head)}')
    for row in head['modes']:
        time = row['seconds']
        table.add_row(row['mode'], row['tta'] or '', str(row['views']),
                      ' x '.join(map(str, row['size'])), _number(row['time_ratio']),
                      _number(time['median'], 3),
                      f'{time["q1"]:.3f} - {time["q3"]:.3f}')
    return table


def static_table(head: Mapping) -> 'Table':
    """The network of fixed shapes, compiled and not.

    Args:
        head: What is written as JSON.
    """
    from rich.table import Table
    table = Table('', 'categories', 'x encoder', 'seconds', 'q1 - q3', 'first call (s)',
                  title=f'{head["config"]} on {_where(head)}, {head["size"]} pixels')
    for row in head['static']:
        time = row['seconds']
        table.add_row(row['case'], _number(row['categories'], 0),
                      _number(row['time_ratio']), _number(time['median'], 3),
                      f'{time["q1"]:.3f} - {time["q3"]:.3f}',
                      _number(row['build_seconds'], 1))
    return table


def launches_table(head: Mapping) -> 'Table':
    """What predictions launch.

    Args:
        head: What is written as JSON.
    """
    from rich.table import Table
    table = Table('', 'kernels of the encoder', 'all others', 'waits of the host',
                  title=f'{head["config"]} on a simulated GPU, {head["size"]} pixels')
    for row in head['launches']:
        table.add_row(row['case'], str(row['encoder']), str(row['beyond']),
                      str(row['synchronisations']))
    return table


def _cells(row: Mapping) -> list[str]:
    """One row as text."""
    star = '*' if row.get('selection') == 'auto' else ''
    cells = [row['model'], _number(row['classes'], 0),
             _number(row['selected'], 0) + star, row['phase']]
    if 'not_run' in row:
        return [*cells, 'not run']
    time = row['seconds']
    return [*cells, _number(row['time_ratio'], 3), _number(time['median'], 4),
            f'{time["q1"]:.3f} - {time["q3"]:.3f}', _number(row['extra_memory_gb'], 3),
            _number(row['words_memory_gb'], 3), _number(row['gflops'])]


def _where(head: Mapping) -> str:
    return f'{head["machine"]["device"]}, {head["precision"]}'


def _number(value: float | str | None, digits: int = 2) -> str:
    if value is None:
        return ''
    return value if isinstance(value, str) else f'{value:.{digits}f}'
