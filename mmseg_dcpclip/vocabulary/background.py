"""What makes a pixel one of no category."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .entries import read_entries


@dataclass(frozen=True)
class Background:
    """What makes a pixel one of no category, and the id that it gets.

    Attributes:
        words: Words of their own that never come out as categories. Those that are
            also words of a category belong to the category.
        threshold: A pixel whose best probability is below it is of no category.
        id: ``'own'``: the number of categories; ``'ignore'``: the model's
            ``ignore_index``; or the id of a category, which then is the none class
            (background of Pascal VOC): ``words`` take the place of its own, without
            them its own stay.

    Raises:
        ValueError: Neither words nor a threshold, a threshold outside [0, 1], a blank
            or repeated word, or another id.
    """
    words: tuple[str, ...] = ()
    threshold: float | None = None
    id: int | str = 'own'

    def __post_init__(self) -> None:
        if not isinstance(self.words, (list, tuple)) or not all(
                isinstance(word, str) for word in self.words):
            raise ValueError('background.words must be a list of words, got '
                             f'{self.words!r}')
        if not self.words and self.threshold is None:
            raise ValueError('background needs words or a threshold; None stands for '
                             'no background')
        if self.words:
            object.__setattr__(self, 'words', tuple(
                word for entry in read_entries(self.words, 'background')
                for word in entry))
        number = self.threshold
        if number is not None and (isinstance(number, bool) or not isinstance(
                number, (int, float)) or not 0 <= number <= 1):
            raise ValueError('background.threshold is a probability in [0, 1], got '
                             f'{number!r}')
        if isinstance(self.id, bool) or not (
                isinstance(self.id, int) or self.id in ('own', 'ignore')):
            raise ValueError("background.id must be 'own', 'ignore' or the id of a "
                             f'category, got {self.id!r}')

    @classmethod
    def of(cls, value: Any) -> 'Background | None':
        """Read a setting.

        Args:
            value: None or ``'none'``: every pixel is of a category. A number: the
                threshold. A list, or a text with ``;`` between: words, with a number
                among them for the threshold. A dict: the attributes.

        Raises:
            ValueError: It is something else, or see the class.
        """
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            unknown = set(value) - {'words', 'threshold', 'id'}
            if unknown:
                raise ValueError(f'background has no {", ".join(sorted(unknown))}; it '
                                 'takes words, threshold and id')
            return cls(**{**value, 'words': value.get('words') or ()})
        if isinstance(value, str):
            if value.strip().lower() == 'none':
                return None
            value = [_number_or_word(part) for part in value.split(';')
                     if part.strip()]
        parts = list(value) if isinstance(value, (list, tuple)) else [value]
        numbers = [part for part in parts if not isinstance(part, str)]
        if len(numbers) > 1:
            raise ValueError(f'background takes one threshold, got {numbers}')
        return cls(tuple(part for part in parts if isinstance(part, str)),
                   numbers[0] if numbers else None)

    def id_in(self, count: int, ignore_index: int) -> int:
        """The id of the none class beside ``count`` categories.

        Raises:
            ValueError: It is no category, or the ignore index is one.
        """
        if self.id == 'own':
            return count
        if self.id == 'ignore':
            if 0 <= ignore_index < count:
                raise ValueError(f"background.id='ignore' means {ignore_index}, which "
                                 f'is one of the {count} categories')
            return ignore_index
        self.check_id(count)
        return int(self.id)

    def check_id(self, count: int) -> None:
        """Refuse an id that is none of ``count`` categories.

        Raises:
            ValueError: Says so.
        """
        if isinstance(self.id, int) and not 0 <= self.id < count:
            raise ValueError(f'background.id is {self.id}, but there are only {count} '
                             "categories; 'own' stands for an id of its own")


def _number_or_word(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
