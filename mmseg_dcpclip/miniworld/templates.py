"""Sentences around the names of the small world.

Used in captions and, at segmentation time, as the prompt templates.
"""

TEMPLATES = (
    '{}',
    'some {}',
    'a picture of {}',
    'a piece of {}',
    'a patch of {}',
    'a drawing with {}',
    'a small shape with {}',
    'there is {} here',
)
