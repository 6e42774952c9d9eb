"""Label sets of the benchmarks, shipped with the package.

Only the standard library is used here. See ``data/README.md`` for what each file
holds and where the facts come from.
"""

import json
from functools import cache
from importlib import resources

LABEL_SETS = ('coco_stuff_171', 'ade20k_150', 'ade20k_847', 'pascal_context_59',
              'pascal_context_459', 'pascal_voc_20', 'pascal_voc_21',
              'pascal_context_60', 'coco_object_81', 'cityscapes_19')


@cache
def _read_text(filename: str) -> str:
    folder = resources.files(__package__) / 'data'
    return (folder / filename).read_text(encoding='utf-8')


def read_label_set(name: str) -> dict:
    """Read one label set.

    Args:
        name: One of ``LABEL_SETS``.

    Returns:
        dict: ``title`` (str), ``entries`` (list of str, synonyms joined by '|', in
        train-id order), ``source_ids`` (list of int, the value of each class in the
        raw download), ``variants`` (dict from a variant's name to {train id: entry}),
        ``absent_from_val`` (list of the train ids that have no pixel in the val
        split, empty where this is not known) and ``background`` (None, or for sets
        with such a class its ``words``, ``threshold`` and ``id``).

    Raises:
        ValueError: There is no such label set.
    """
    if name not in LABEL_SETS:
        raise ValueError(
            f'no label set named {name!r}; choose one of {", ".join(LABEL_SETS)}')
    raw = json.loads(_read_text(f'{name}.json'))
    variants = {
        variant: {int(i): entry for i, entry in changes.items()}
        for variant, changes in raw.get('variants', {}).items()
    }
    return dict(
        title=raw['title'],
        entries=[entry for _, entry in raw['classes']],
        source_ids=[source_id for source_id, _ in raw['classes']],
        variants=variants,
        absent_from_val=raw.get('absent_from_val', []),
        background=raw.get('background'))


def pascal_context_val_ids() -> list[str]:
    """Image ids of the 5104 val images, such as '2008_000002'."""
    by_year = json.loads(_read_text('pascal_context_val.json'))
    return [
        f'{year}_{number:06d}' for year, numbers in by_year.items()
        for number in numbers
    ]
