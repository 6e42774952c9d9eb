"""Read class names from a file."""

import csv
import json
from pathlib import Path
from typing import Any


def read_class_file(path: str | Path) -> dict:
    """Read the entries of a class-name file in UTF-8.

    Three forms are known: ``.txt`` with one entry per line, synonyms separated
    by '|'; ``.csv`` with a header, the column ``name`` and optionally
    ``synonyms`` (separated by '|'); ``.json`` with a list of entries, or an
    object with ``classes`` and optionally ``palette``, ``name`` and ``background``.

    Args:
        path: The file.

    Returns:
        dict: ``entries`` (list), ``palette`` (list or None) and ``name`` (str, by
        default the file's name without its ending), and ``background`` where it is
        given, as ``Vocabulary`` takes them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The form is unknown or the content does not follow it.
    """
    path = Path(path)
    if path.suffix not in ('.txt', '.csv', '.json'):
        raise ValueError(f'{path}: class names are read from a .txt, .csv or '
                         '.json file; rename or convert it')
    if not path.is_file():
        raise FileNotFoundError(f'no class file at {path}; check the path')
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not UTF-8 text ({error.reason} at byte '
                         f'{error.start}); save it as UTF-8') from error
    content: dict[str, Any] = dict(entries=[], palette=None, name=path.stem)
    if path.suffix == '.txt':
        # Ids are line numbers: a blank line inside the list stays an error.
        content['entries'] = text.rstrip().splitlines()
    elif path.suffix == '.csv':
        content['entries'] = _read_csv(text, path)
    else:
        content.update(_read_json(text, path))
    return content


def _read_csv(text: str, path: Path) -> list[list[str]]:
    """The synonyms of each row, the name first."""
    rows = csv.DictReader(text.splitlines())
    if 'name' not in (rows.fieldnames or []):
        raise ValueError(f"{path} has no column 'name'; its first line must name "
                         f'the columns, found {rows.fieldnames}')
    entries = []
    for row in rows:
        name = (row['name'] or '').strip()
        # The list of synonyms may or may not hold the name itself.
        others = map(str.strip, (row.get('synonyms') or '').split('|'))
        entries.append([name] + [word for word in others
                                 if word.lower() not in ('', name.lower())])
    return entries


def _read_json(text: str, path: Path) -> dict:
    """``entries`` and, where they are given, the other keys."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is not valid JSON: {error}') from error
    if isinstance(content, list):
        return dict(entries=content)
    if isinstance(content, dict) and isinstance(content.get('classes'), list):
        found = {key: content[key] for key in ('palette', 'name', 'background')
                 if key in content}
        return dict(entries=content['classes'], **found)
    raise ValueError(f"{path} must hold a list of names, or an object with the "
                     "list 'classes'")
