"""Every way of loading a picture gives the same pixels."""

import cv2
import numpy as np
import pytest
from data_trees import save_turned
from mmcv.transforms import Compose
from mmengine.config import Config
from PIL import Image, ImageOps

from mmseg_dcpclip.datasets import PictureAsSeen, load_image
from mmseg_dcpclip.datasets.pictures import picture_size, turn
from mmseg_dcpclip.shipped import configs_folder

RNG = np.random.default_rng(0)
SMOOTH = cv2.resize(RNG.integers(0, 256, (5, 8, 3), dtype=np.uint8), (30, 20),
                    interpolation=cv2.INTER_CUBIC)
READ = [dict(type='LoadImageFromFile'), dict(type='PictureAsSeen')]
CONFIGS = sorted((configs_folder() / '_base_/datasets').glob('*.py'))


def loaded(path):
    """A picture in RGB and its sizes through mmseg's pipeline."""
    results = Compose(READ)(dict(img_path=str(path)))
    assert results['img_shape'] == results['ori_shape'] == results['img'].shape[:2]
    return results['img'][..., ::-1]


@pytest.mark.parametrize('suffix, options', [
    ('jpg', dict(quality=95)), ('png', {}), ('webp', dict(lossless=True)), ('tif', {})])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientation(tmp_path, suffix, options, orientation):
    path = tmp_path / f'a.{suffix}'
    save_turned(path, Image.fromarray(SMOOTH), orientation, **options)
    expected = np.array(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(load_image(path), expected)
    np.testing.assert_array_equal(loaded(path), expected)
    assert picture_size(path) == expected.shape[:2]
    if suffix != 'jpg':
        np.testing.assert_array_equal(turn(SMOOTH, orientation), expected)


def pictures():
    """Pictures of all kinds by name; what lies under transparency is coloured."""
    alpha = np.linspace(0, 255, 600).reshape(20, 30).astype(np.uint8)
    rgba = np.dstack([SMOOTH, alpha])
    image = Image.fromarray(rgba)
    palette = Image.fromarray(SMOOTH).quantize(8)
    return {
        'rgb.png': Image.fromarray(SMOOTH), 'rgba.png': image, 'rgba.webp': image,
        'rgba.tif': image, 'la.png': image.convert('LA'), 'palette.png': palette,
        'grey.png': Image.fromarray(SMOOTH[..., 0]), 'grey.jpg': image.convert('L'),
        'black and white.png': image.convert('1'), 'cmyk.jpg': image.convert('CMYK'),
        'sixteen.png': Image.fromarray(SMOOTH[..., 0].astype(np.uint16) * 257)}


@pytest.mark.parametrize('name', pictures())
def test_kinds(tmp_path, name):
    path = tmp_path / name
    pictures()[name].save(path, **(dict(lossless=True) if 'webp' in name else {}))
    picture = load_image(path)
    np.testing.assert_array_equal(loaded(path), picture)
    assert picture.shape == (20, 30, 3) and picture.dtype == np.uint8


def test_transparent_palettes_and_deep_colours(tmp_path):
    palette = Image.fromarray(SMOOTH).quantize(8)
    palette.save(tmp_path / 'palette.png', transparency=3)
    white = np.array(palette) == 3
    assert (loaded(tmp_path / 'palette.png')[white] == 255).all() and white.any()
    cv2.imwrite(str(tmp_path / 'deep.png'), RNG.integers(0, 65536, (9, 9, 3)
                                                         ).astype(np.uint16))
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(loaded(path), load_image(path))


def test_arrays_lie_on_white_too():
    rgba = np.dstack([SMOOTH, np.full((20, 30), 100, np.uint8)])
    bgra = rgba[..., [2, 1, 0, 3]]
    results = PictureAsSeen()(dict(img=bgra, img_path=None))
    np.testing.assert_array_equal(results['img'][..., ::-1], load_image(rgba))
    results = dict(img=SMOOTH, img_path=None)
    assert PictureAsSeen()(results)['img'] is SMOOTH


@pytest.mark.parametrize('path', CONFIGS, ids=[path.stem for path in CONFIGS])
def test_every_pipeline_of_the_configs(path, tmp_path):
    """Also where mmseg's inferencer has put its own loader."""
    config = Config.fromfile(path)
    picture = tmp_path / 'a.png'
    save_turned(picture, pictures()['rgba.png'], 6)
    for name in ('train_pipeline', 'test_pipeline', 'tta_pipeline'):
        pipeline = config.get(name)
        if pipeline is None:
            continue
        types = [step['type'] for step in pipeline]
        assert types[:2] == ['LoadImageFromFile', 'PictureAsSeen'], (
            f'{path}: {name} reads pictures in another way than Predictor; add '
            'PictureAsSeen behind LoadImageFromFile')
        for loader, source in (('LoadImageFromFile', dict(img_path=str(picture))),
                               ('InferencerLoader', str(picture))):
            read = Compose([dict(pipeline[0], type=loader), pipeline[1]])
            np.testing.assert_array_equal(
                read(source)['img'][..., ::-1], load_image(picture))


@pytest.mark.parametrize('content, message', [
    (b'', 'empty'), (b'no picture', 'no known picture format')])
def test_what_is_no_picture(tmp_path, content, message):
    path = tmp_path / 'a.png'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf'a\.png cannot be read.*{message}'):
        load_image(path)
    with pytest.raises(ValueError, match=r'a\.png cannot be read'):
        picture_size(path)
