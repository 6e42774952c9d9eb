"""How much a GPU would have to launch, and how often the host would wait for it."""

import pytest
from mmengine.config import Config

from mmseg_dcpclip.evaluation.cost import random_model
from mmseg_dcpclip.evaluation.cost.launches import launch_rows
from mmseg_dcpclip.shipped import config_path


@pytest.fixture(scope='module')
def rows():
    """Of the small world's model at its own size."""
    model = random_model(Config.fromfile(config_path('dcpclip_mini_paper')), 'cpu')
    return {row['case']: row for row in launch_rows(model, 60, 24, 96)}


@pytest.mark.parametrize('case, kernels, waits', [
    ('1 picture', 300, 3), ('1 picture, tag validation', 350, 4),
    ('1 picture, five views', 600, 6),
    ('1 picture, five views, tag validation', 700, 8)])
def test_a_picture_stays_below_its_limits(rows, case, kernels, waits):
    assert 0 < rows[case]['beyond'] <= kernels
    assert 0 < rows[case]['synchronisations'] <= waits


def test_a_batch_is_launched_together(rows):
    """Eight pictures at most one and a half times one, the encoder included."""
    total = {case: row['encoder'] + row['beyond'] for case, row in rows.items()}
    assert total['8 pictures'] <= 1.5 * total['1 picture']
    assert rows['8 pictures']['synchronisations'] <= 1 + 8  # the maps' ids
