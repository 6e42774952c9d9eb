import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_dcpclip import Vocabulary

FROZEN = 'configs/dcpclip_mini_frozen.py'


def test_sheet_of_given_models(load_tool, tmp_path, capsys, monkeypatch):
    tool = load_tool('contact_sheet.py')
    monkeypatch.chdir(tool.CONFIGS.parent)
    out = tmp_path / 'new' / 'sheet.png'
    code = tool.main([
        'fig6', '--pictures', '2', '--benchmark', 'mini-20', '--out', str(out),
        '--model', f'frozen={FROZEN}:none',
        '--model', f'a heading too long for one line of such a column={FROZEN}:none'])
    assert code == 0
    with Image.open(out) as image:
        assert image.format == 'PNG'
        width, height = image.size
    # four columns and two rows of pictures, headings and captions
    assert 4 * tool.HEIGHT < width < 5 * tool.HEIGHT
    assert 2 * tool.HEIGHT < height < 3 * tool.HEIGHT
    assert f'{width} x {height}' in capsys.readouterr().out


def test_labels_above_255_keep_their_colour(load_tool):
    tool = load_tool('contact_sheet.py')
    words = Vocabulary([f'word {i}' for i in range(847)])
    picture = np.zeros((60, 80, 3), np.uint8)
    labels = np.full((60, 80), 846)
    labels[:, :40] = 300
    labels[:4] = 65535  # ignored
    drawn = np.array(tool.draw_map(picture, labels, words))
    assert drawn.shape == (tool.HEIGHT, tool.fitting(picture)[0], 3)
    for x, word in ((10, 300), (-10, 846)):
        expected = 0.7 * np.array(words.palette[word])
        assert np.abs(drawn[-10, x] - expected).max() <= 1
    assert not drawn[2, 5].any()


def test_names_stay_inside(load_tool):
    tool = load_tool('contact_sheet.py')
    image = np.full((80, 120, 3), 7, np.uint8)
    labels = np.zeros((80, 120), int)
    labels[:30, 100:] = 1
    names = ['a very long name of a category in many words', 'x']
    drawn = tool.draw_names(image, labels, names)
    border = np.concatenate([drawn[-1], drawn[:, -1]])
    assert (border == 7).all() and not (drawn == 7).all()


def test_wrap(load_tool):
    tool = load_tool('contact_sheet.py')
    font = tool.font_of(12)
    text = tool.wrap('one two three', font, int(font.getlength('one two')) + 1)
    assert text == 'one two\nthree'


@pytest.mark.parametrize('arguments, message', [
    (['fig6'], 'no training of baseline with seed 0'),
    (['fig6', '--model', 'x'], 'HEADING=CONFIG:CHECKPOINT'),
    (['fig6', '--model', 'x=none.py:none'], 'no such config: none.py'),
])
def test_mistakes_are_named(load_tool, tmp_path, arguments, message):
    result = load_tool('contact_sheet.py').main([*arguments, '--work-dir',
                                                 str(tmp_path)])
    assert message in result


def test_pictures_that_tag_validation_changes_come_first(load_tool, monkeypatch):
    tool = load_tool('contact_sheet.py')
    args = tool.parse_args(['tv', '--pictures', '1', '--look-at', '3'])

    class Model:
        """Predicts 0, or 1 on some pixels; picture 2 differs most."""

        def __init__(self, changes):
            self.changes = changes
            self.config = tool.Config.fromfile(tool.CONFIGS / 'dcpclip_mini.py')

    def predict(model, item, words):
        label = np.zeros((8, 8), int)
        if model.changes:
            label.flat[:item['index'] + 1] = 1
        return label

    class Data:
        vocabulary = Vocabulary(['a', 'b'])

        def __len__(self):
            return 3

        def __getitem__(self, index):
            label = PixelData(data=torch.zeros(1, 8, 8, dtype=torch.long))
            sample = SegDataSample(gt_sem_seg=label, metainfo=dict(img_path='none'))
            return dict(index=index, data_samples=sample,
                        inputs=torch.zeros(3, 8, 8, dtype=torch.uint8))

    monkeypatch.setattr(tool, 'predict', predict)
    models = {'without': Model(False), 'with': Model(True)}
    rows = list(tool.choose(args, 'toy', models, Data(), 1))
    assert [caption for caption, _ in rows] == ['toy 2']
    assert len(rows[0][1]) == 4
