"""Prompt templates: sentences around a category's name."""

from collections.abc import Sequence

from open_clip import OPENAI_IMAGENET_TEMPLATES

from ... import catalogue

# A sentence is put together with str.format: '{}' is the name.
TEMPLATE_SETS = {
    # the 80 ImageNet templates of CLIP, as open_clip has them
    'imagenet': tuple(make('{}') for make in OPENAI_IMAGENET_TEMPLATES),
    'single': ('a photo of a {}.', ),
}


def get_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Resolve a set's name or check templates of one's own.

    Args:
        templates: ``'imagenet'`` (80), ``'single'``, a set of the catalogue
            (``'miniworld'``), or sentences with one ``{}`` each.

    Returns:
        tuple[str]: The sentences.

    Raises:
        ValueError: No such set, no sentence, or a sentence without its ``{}``.
    """
    if isinstance(templates, str):
        known = TEMPLATE_SETS | catalogue.TEMPLATE_SETS
        if templates not in known:
            raise ValueError(f'no template set {templates!r}; known: '
                             f'{", ".join(known)}, or a list of sentences')
        return known[templates]
    bad = [t for t in templates if not isinstance(t, str) or t.count('{}') != 1]
    if bad or not templates:
        raise ValueError(f'a template is a sentence with one {{}}, got {bad or "none"}')
    return tuple(templates)
