import numpy as np
import pytest
from data_trees import encode_ade20k, save_label, save_turned
from mmcv.transforms import Compose
from PIL import Image

from mmseg_dcpclip.datasets.labels import decode_label
from mmseg_dcpclip.preparation import FileJob
from mmseg_dcpclip.preparation.ade20k_847 import (
    NUM_VALUES,
    convert_picture,
    read_ade20k_ids,
    short_side_512,
)


def test_ade20k_ids(tmp_path):
    ids = np.array([[0, 1, 255, 256, 2978, 3156]])
    save_label(tmp_path / 'a_seg.png', encode_ade20k(ids))
    assert read_ade20k_ids(tmp_path / 'a_seg.png').tolist() == ids.tolist()
    # R // 10: the last digit of R does not count.
    save_label(tmp_path / 'b_seg.png', np.array([[[119, 5, 9]]], dtype=np.uint8))
    assert read_ade20k_ids(tmp_path / 'b_seg.png').tolist() == [[11 * 256 + 5]]
    save_label(tmp_path / 'c_seg.png', np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match='c_seg.png is no RGB image'):
        read_ade20k_ids(tmp_path / 'c_seg.png')


def test_short_side_512():
    assert short_side_512(512, 2000) == (512, 2000)
    assert short_side_512(100, 90) == (100, 90)
    assert short_side_512(1024, 1536) == (512, 768)
    assert short_side_512(600, 520) == (591, 512)


@pytest.mark.parametrize('orientation', [1, 3, 6])
@pytest.mark.parametrize('size', [(20, 30), (24, 24), (600, 520)])
def test_picture_and_label_are_turned_alike(tmp_path, orientation, size):
    """A label drawn on the picture as stored lies on the picture as it is read."""
    ids = np.zeros(size, dtype=int)
    ids[:size[0] // 2, :size[1] // 3] = 5  # a corner
    picture = np.repeat((ids[..., None] * 40).astype(np.uint8), 3, 2)
    job = FileJob(tmp_path / 'a.jpg', (tmp_path / 'b.jpg', tmp_path / 'b.png'))
    save_turned(job.source, Image.fromarray(picture), orientation, quality=95)
    save_label(tmp_path / 'a_seg.png', encode_ade20k(ids))
    convert_picture(job, np.arange(NUM_VALUES, dtype=np.uint16))
    label = decode_label(job.targets[1].read_bytes(), 'b.png')
    results = Compose([dict(type='LoadImageFromFile'), dict(type='PictureAsSeen')])(
        dict(img_path=str(job.targets[0])))
    assert results['img'].shape[:2] == label.shape
    assert set(np.unique(label)) == {0, 5}  # nothing between them
    assert ((results['img'][..., 0] > 100) == (label == 5)).mean() > 0.97
