"""Tables of what is in a folder of masks."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from ...extras import require
from ...files import atomic
from ...vocabulary import Vocabulary
from ..overlay import category_name
from .records import PictureRecord

COLUMNS = ('picture', 'word', 'share', 'score')
ROWS = 2**16  # held at once
ENDINGS = ('.csv', '.parquet')

Row = tuple[str, str, float, float]


def check_summary(path: Path) -> None:
    """Tell before any work whether a summary can be written.

    Raises:
        ValueError: Its ending is none of ``ENDINGS``.
        ModuleNotFoundError: pyarrow, which writes Parquet, is not installed.
    """
    if path.suffix not in ENDINGS:
        raise ValueError(f'--summary {path}: name a {" or a ".join(ENDINGS)} file')
    if path.suffix == '.parquet':
        require('pyarrow.parquet', 'bulk')


def summary_rows(records: Iterable[PictureRecord], vocabulary: Vocabulary
                 ) -> Iterator[Row]:
    """A row for each word in each picture, with ``COLUMNS``."""
    for record in records:
        for category, share, score in record.words:
            yield record.name, category_name(category, vocabulary), share, score


def write_summary(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV or, by the ending, Parquet; the file appears whole.

    Args:
        path: The file; its folder is made if need be.
        rows: With ``COLUMNS``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        (_write_parquet if path.suffix == '.parquet' else _write_csv)(temporary, rows)


def write_left_out(path: Path, bad: Mapping[str, str]) -> None:
    """Write which pictures were left out and why; without any there is no file."""
    if not bad:
        path.unlink(missing_ok=True)
        return
    with atomic(path) as temporary:
        _write_csv(temporary, bad.items(), ('picture', 'reason'))


def _write_csv(path: Path, rows: Iterable[tuple], columns: tuple[str, ...] = COLUMNS
               ) -> None:
    with path.open('w', encoding='utf-8', errors='surrogateescape', newline='') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(columns)
        table.writerows(rows)


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    pyarrow, parquet = require('pyarrow', 'bulk'), require('pyarrow.parquet', 'bulk')
    text, number = pyarrow.string(), pyarrow.float64()
    schema = pyarrow.schema(list(zip(COLUMNS, (text, text, number, number))))
    with parquet.ParquetWriter(path, schema) as file:
        for block in _blocks(rows):
            columns = [list(column) for column in zip(*block)]
            columns[0] = [name.encode('utf-8', 'surrogateescape').decode(
                'utf-8', 'replace') for name in columns[0]]
            file.write_table(pyarrow.table(columns, schema))


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while block := list(islice(rest, ROWS)):
        yield block
