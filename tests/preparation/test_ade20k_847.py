import numpy as np
import pytest
from data_trees import encode_ade20k, save_label

from mmseg_dcpclip.preparation.ade20k_847 import read_ade20k_ids, short_side_512


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
