"""Names that stand for words, prompts and CLIP models which are not open_clip's.

The ground floor: nothing is imported here and everything may look things up. What
lies above adds its own names, as the small drawn world does, so that a config can say
``vocabulary='mini-20'``, ``templates='miniworld'`` or ``pretrained='miniworld'``. A
project of yours adds names in the same way, before it builds a model.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

LabelSet = Callable[[], Sequence[str]]  # gives the entries of a vocabulary

LABEL_SETS: dict[str, LabelSet] = {}
TEMPLATE_SETS: dict[str, tuple[str, ...]] = {}
CLIP_MODELS: dict[str, Path] = {}
CLIP_WEIGHTS: dict[tuple[str, str], Path] = {}
TRAINED_WEIGHTS: dict[str, Path] = {}


def add_label_set(name: str, entries: LabelSet) -> None:
    """Give a list of categories a name for ``Vocabulary.load``.

    Args:
        name: The name; one without a dot, so that it cannot be taken for a file.
        entries: Called when the set is asked for, returns one string per category in
            which '|' separates synonyms.

    Raises:
        ValueError: The name has a dot.
    """
    if '.' in name:
        raise ValueError(f'a label set cannot be called {name!r}: a dot marks a file')
    LABEL_SETS[name] = entries


def add_template_set(name: str, templates: Sequence[str]) -> None:
    """Give sentences around a category a name for ``text_encoder.templates``.

    Args:
        name: The name.
        templates: Sentences with one ``{}`` each.
    """
    TEMPLATE_SETS[name] = tuple(templates)


def add_clip_model(name: str, config: Path) -> None:
    """Give a CLIP architecture a name for ``model_name``.

    Args:
        name: The name.
        config: A model config of open_clip (``.json``).
    """
    CLIP_MODELS[name] = config


def add_clip_weights(model_name: str, tag: str, path: Path) -> None:
    """Give weights of a CLIP model a tag for ``pretrained``.

    Args:
        model_name: The model.
        tag: The tag.
        path: A file in a form that ``load_clip_weights`` reads.
    """
    CLIP_WEIGHTS[model_name, tag] = path


def add_trained_weights(config: str, path: Path) -> None:
    """Give a config of the package trained weights, ``mmseg_dcpclip://<config>``.

    Args:
        config: Name of the config.
        path: A file that ``read_checkpoint`` reads.
    """
    TRAINED_WEIGHTS[config] = path
