"""What the page of a model on Hugging Face says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from ..models import DCPCLIP
from ..vocabulary import Vocabulary

LIBRARY = 'mmseg-dcpclip'
MOST_WORDS = 60  # of the vocabulary that are printed
Scores = Mapping[str, float]  # mIoU in percent by benchmark


def read_scores(scores: Scores | str | Path | None) -> Scores:
    """Scores by benchmark.

    Args:
        scores: mIoU in percent by benchmark, or ``benchmarks.json`` of ``dcpclip
            test --benchmarks``. None: nothing was run.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such file.
    """
    if scores is None or isinstance(scores, Mapping):
        return scores or {}
    try:
        rows = json.loads(Path(scores).read_text(encoding='utf-8'))['benchmarks']
        return {row['name']: float(row['scores']['mIoU']) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{scores} is no benchmarks.json of `dcpclip test '
                         f'--benchmarks` ({type(error).__name__}: {error})') from error


def make_card(model: DCPCLIP, name: str, *, delta: bool, scores: Scores,
              license: str) -> ModelCard:
    """The page of a model.

    Args:
        model: As it is saved.
        name: What ``from_pretrained`` takes, for the example.
        delta: Whether CLIP's weights were left out.
        scores: See ``read_scores``.
        license: Of the weights, by its name on Hugging Face.
    """
    data = ModelCardData(library_name=LIBRARY, pipeline_tag='image-segmentation',
                         license=license, tags=['open-vocabulary', 'clip', 'mmseg'])
    clip = [f'{part.model_name}, `{part.pretrained}`'
            for part in (model.backbone, model.text_encoder)
            if getattr(part, 'pretrained', None)]
    facts = [
        ('CLIP', '; '.join(dict.fromkeys(clip)) or 'none'),
        ('Weights', 'those that differ from CLIP\'s own; CLIP\'s are fetched by their '
         'tag and checked' if delta else 'all'),
        ('Words', f'{len(model.vocabulary)} of its own, any other in their place'),
        ('Background', _background(model)),
        ('Synonyms', model.settings.synonyms),
        ('Tag validation', 'no' if model.tag_validation is None else 'yes'),
    ]
    return ModelCard(f'''---
{data.to_yaml()}
---

# {name}

Open-vocabulary semantic segmentation: a picture and any list of words in, a mask per
word out. DCP-CLIP ([arXiv 2603.13951](https://arxiv.org/abs/2603.13951)) in
MMSegmentation.

```python
from mmseg_dcpclip import Predictor
predictor = Predictor.from_pretrained('{name}')
result = predictor.predict('picture.png', ['cat', 'dog|puppy', 'grass'])
```

| | |
| --- | --- |
{_rows(facts)}
## Scores

{_scores(scores)}
## Vocabulary

{_words(model.vocabulary)}
''')


def _rows(facts: list[tuple[str, Any]]) -> str:
    return ''.join(f'| {name} | {str(value).replace("|", "&#124;")} |\n'
                   for name, value in facts)


def _background(model: DCPCLIP) -> str:
    rule = model.background
    if rule is None:
        return 'none: every pixel is of a word'
    parts = [] if rule.threshold is None else [f'best probability below '
                                               f'{rule.threshold}']
    return ', or '.join(parts + [f'`{word}`' for word in rule.words])


def _scores(scores: Scores) -> str:
    if not scores:
        return 'not run\n'
    return ('| benchmark | mIoU |\n| --- | --- |\n'
            + ''.join(f'| {name} | {value:.2f} |\n' for name, value in scores.items()))


def _words(vocabulary: Vocabulary) -> str:
    shown = ', '.join(f'`{"|".join(entry)}`'
                      for entry in vocabulary.synonyms[:MOST_WORDS])
    more = len(vocabulary) - MOST_WORDS
    return shown + (f' and {more} more, in `config.json`' if more > 0 else '')
