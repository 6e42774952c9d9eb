"""Published figures: those of the docs, and shown only beside what was published."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_dcpclip.evaluation.benchmarks import TRAINING_FREE
from mmseg_dcpclip.evaluation.published import ROWS, published_row
from mmseg_dcpclip.shipped import config_path

PAGE = Path(__file__).parents[2] / 'docs' / 'training_free.md'
B16, L14 = 'dcpclip_vitb16_frozen', 'dcpclip_vitl14_frozen'


def test_the_table_of_the_docs_is_that_of_the_code():
    text = PAGE.read_text(encoding='utf-8')
    table = text[text.index('| read-out | V21 |'):].partition('\n\n')[0]
    found = [[cell.strip() for cell in line.strip('|').split('|')]
             for line in table.splitlines()[2:]]
    assert found == [[row.title, *(f'{figure:.1f}' for figure in row.figures),
                      f'{row.mean:.1f}'] for row in ROWS]
    for row in ROWS:  # the mean of `plain` is published so
        own = sum(row.figures) / len(row.figures)
        assert own == pytest.approx(row.mean, abs=0.21 if row.read_out == 'plain'
                                    else 0.06)


@pytest.mark.parametrize('name, options, first', [
    (B16, {}, 58.9), (B16, {'backbone.read_out': 'self_calibrated'}, 64.6),
    (B16, {'backbone.read_out': dict(type='csa')}, 59.1),
    (B16, {'backbone.read_out': 'plain'}, 18.6),
    (B16, {'backbone.read_out': 'qq'}, 51.8),
    (B16, {'refinement': dict(type='PAMR')}, 64.1),
    (L14, {'backbone.read_out': 'self_calibrated'}, 65.0),
    # another read-out, or one of which a part is missing here
    (B16, {'backbone.read_out': 'value'}, None),
    (B16, {'backbone.read_out': 'rcs'}, None),
    (B16, {'backbone.read_out': 'procrustes'}, None), (L14, {}, None),
    (B16, {'backbone.read_out': dict(type='kk_gauss', sigma=3)}, None),
    (L14, {'backbone.read_out': 'plain'}, None),
    # something beside
    (B16, {'refinement': dict(type='PAMR', dilations=(2, 4))}, None),
    (B16, {'refinement': dict(type='PAMR'), 'backbone.read_out': 'qq'}, None),
    (B16, {'backbone.proxy': dict(encoder=dict(type='VisionTransformer'))}, None),
    (B16, {'selection.form': 'purify'}, None), (B16, {'decode_head.scale': 50.0}, None),
    (B16, {'tag_validation': dict(seen=[], top_k=3)}, None),
    (B16, {'test_cfg.synonyms': 'mean'}, None),
    (B16, {'test_cfg.background': None}, None),
    ('frozen/dcpclip_vitb16_laion', {}, None), ('dcpclip_mini_frozen', {}, None),
    ('dcpclip_vitb16_coco', {}, None)])
def test_a_row_only_where_the_config_is_what_was_published(name, options, first):
    config = Config.fromfile(config_path(name))
    for key, value in options.items():
        *way, last = key.split('.')
        part = config.model
        for word in way:
            part = part[word]
        part[last] = value
    found = published_row(config)
    assert found.get('pascal_voc_21') == first
    assert list(found) == (list(TRAINING_FREE) if first else [])


def test_no_row_at_another_size_of_pictures():
    config = Config.fromfile(config_path(B16))
    config.test_pipeline[2].scale = (2048, 448)
    assert published_row(config) == {}
    assert published_row(Config(dict(model=dict(type='Other')))) == {}
