"""``dcpclip figures``."""

import pytest
from PIL import Image

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.reproduction.drawing import HEIGHT
from mmseg_dcpclip.shipped import config_path

FROZEN = config_path('dcpclip_mini_frozen')


def test_sheet_of_given_models(tmp_path, capsys):
    out = tmp_path / 'new' / 'sheet.png'
    code = main([
        'figures', 'fig6', '--pictures', '2', '--benchmark', 'mini-20',
        '--out', str(out),
        '--model', f'frozen={FROZEN}:none',
        '--model', f'a heading too long for one line of such a column={FROZEN}:none'])
    assert code == 0
    with Image.open(out) as image:
        assert image.format == 'PNG'
        width, height = image.size
    # four columns and two rows of pictures, headings and captions
    assert 4 * HEIGHT < width < 5 * HEIGHT
    assert 2 * HEIGHT < height < 3 * HEIGHT
    assert f'{width} x {height}' in capsys.readouterr().out


@pytest.mark.parametrize('arguments, message', [
    (['fig6'], 'no training of baseline with seed 0'),
    (['fig6', '--model', 'x'], 'HEADING=CONFIG:CHECKPOINT'),
    (['fig6', '--model', 'x=none.py:none'], 'no such config: none.py'),
])
def test_mistakes_are_named(tmp_path, capsys, arguments, message):
    assert main(['figures', *arguments, '--work-dir', str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
