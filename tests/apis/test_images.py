import numpy as np
import pytest
from PIL import Image

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.apis import draw_overlay, load_image
from mmseg_dcpclip.apis.overlay import category_shares

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def test_arrays_and_pil_and_files_agree(tmp_path):
    path = tmp_path / 'with blank.png'
    Image.fromarray(RGB).save(path)
    for source in (RGB, Image.fromarray(RGB), path, str(path), RGB / 255.0,
                   RGB.astype(np.uint16) * 257):
        loaded = load_image(source)
        assert loaded.dtype == np.uint8
        np.testing.assert_array_equal(loaded, RGB)


def test_grey_and_sixteen_bits(tmp_path):
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    expected = np.repeat(grey[..., None], 3, 2)
    for source in (grey, grey[..., None], Image.fromarray(grey)):
        np.testing.assert_array_equal(load_image(source), expected)
    path = tmp_path / 'deep.png'
    Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    np.testing.assert_array_equal(load_image(path), expected)
    Image.fromarray(grey > 100).save(path)
    assert set(np.unique(load_image(path))) == {0, 255}


def test_transparency_lies_on_white():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = 0, 255, 128
    result = load_image(rgba)
    assert result[0, :, 0].tolist() == [255, 0, 127]
    np.testing.assert_array_equal(load_image(Image.fromarray(rgba)), result)


def test_camera_orientation_is_applied(tmp_path):
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    path = tmp_path / 'turned.png'
    image.save(path, exif=exif)
    np.testing.assert_array_equal(load_image(path), np.rot90(RGB, -1))


@pytest.mark.parametrize('source, error, message', [
    ('nowhere.jpg', FileNotFoundError, 'nowhere.jpg'),
    (np.zeros((2, 2, 5), np.uint8), ValueError, r'\(2, 2, 5\)'),
    (np.zeros((0, 2, 3), np.uint8), ValueError, 'pixels'),
    (np.full((2, 2), 7.5), ValueError, '7.5'),
    (np.zeros((2, 2), np.int64), ValueError, 'int64'), (3, TypeError, 'int')])
def test_bad_pictures(source, error, message):
    with pytest.raises(error, match=message):
        load_image(source)


def test_a_text_file_is_no_picture(tmp_path):
    path = tmp_path / 'notes.png'
    path.write_text('not a picture')
    with pytest.raises(ValueError, match='notes.png'):
        load_image(path)
    torn = tmp_path / 'torn.png'
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(torn)
    torn.write_bytes(torn.read_bytes()[:60])
    with pytest.raises(ValueError, match='torn.png'):
        load_image(torn)


def test_shares():
    shares = category_shares(np.array([[2, 2], [2, 5]]))
    assert shares == [(2, 0.75), (5, 0.25)]


def test_overlay_shows_picture_colours_and_legend():
    vocabulary = Vocabulary(['cat', '犬', 'sky'])
    seg_map = np.zeros((4, 6), np.int64)
    seg_map[:, 3:] = 2
    sheet = np.asarray(draw_overlay(RGB, seg_map, vocabulary, opacity=1.0))
    assert sheet.shape[1] > 2 * 6 * 80  # enlarged, side by side, legend
    np.testing.assert_array_equal(sheet[40, 40], RGB[0, 0])
    np.testing.assert_array_equal(sheet[40, 480 + 40], vocabulary.palette[0])
    np.testing.assert_array_equal(sheet[40, 480 + 440], vocabulary.palette[2])
    with pytest.raises(ValueError, match='size|label map'):
        draw_overlay(RGB, seg_map[:2], vocabulary)
    with pytest.raises(ValueError, match='9'):
        draw_overlay(RGB, seg_map + 9, vocabulary)
