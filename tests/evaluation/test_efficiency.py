import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_dcpclip.evaluation.efficiency import (
    TimedCall,
    count_parameters,
    measure_times,
    multiply_adds,
    peak_memory,
    summarize_times,
)
from mmseg_dcpclip.shipped import config_path


def test_peak_memory_of_a_known_case():
    mega = 2**20

    def two_at_once():
        first = torch.zeros(mega)
        second = torch.zeros(mega)
        del first
        third = torch.zeros(mega // 2)
        return second, third

    before = torch.zeros(4 * mega)  # alive all the time: does not count
    assert peak_memory(two_at_once) == 8 * mega
    assert peak_memory(lambda: torch.zeros(mega)) == 4 * mega
    assert peak_memory(lambda: before.numel()) == 0


def test_peak_memory_sees_the_backward_pass():
    x = torch.zeros(1000, 1000, requires_grad=True)
    assert peak_memory(lambda: x.exp().sum().backward()) >= 2 * 4_000_000


@pytest.mark.parametrize('masked', [False, True])
def test_multiply_adds(masked):
    x = torch.randn(3, 10, 8)
    assert multiply_adds(lambda: F.linear(x, torch.randn(5, 8))) == 3 * 10 * 8 * 5
    image = torch.randn(1, 2, 6, 6)
    assert multiply_adds(lambda: F.conv2d(image, torch.randn(4, 2, 3, 3))) == (
        4 * 4 * 4 * 2 * 9)
    q, k = torch.randn(2, 3, 10, 8), torch.randn(2, 3, 7, 8)
    mask = torch.zeros(10, 7) if masked else None
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            count = multiply_adds(
                lambda: F.scaled_dot_product_attention(q, k, k, mask))
        assert count == 2 * 2 * 3 * 10 * 7 * 8


def test_times_come_in_turn():
    seen = []
    jobs = [TimedCall(lambda i=i: seen.append(i), lambda i=i: seen.append(-i))
            for i in (1, 2)]
    times = measure_times(jobs, repeats=3, warmup=1)
    assert seen == [-1, 1, -2, 2] * 4
    assert [len(t) for t in times] == [3, 3]
    assert summarize_times([4, 1, 2, 3]) == dict(median=2.5, min=1, q1=1.75, q3=3.25)
    with pytest.raises(ValueError, match='repeats'):
        measure_times(jobs, 0)


@pytest.mark.parametrize('config', [
    config_path('dcpclip_mini'), config_path('dcpclip_vitl14_coco')])
def test_parameters(config):
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(config).model)
    numbers = count_parameters(model)
    assert numbers['total'] == sum(numbers['parts'].values()) == sum(
        p.numel() for p in model.parameters())
    tuned = sum(p.numel() for name, p in model.named_parameters()
                if name.endswith(('attn.q_proj.weight', 'attn.v_proj.weight'))
                and name.startswith(('backbone', 'text_encoder')))
    if 'vitl14' in config.name:
        assert tuned == 2 * (24 * 1024**2 + 12 * 768**2)  # 64.49 M
    assert numbers['learnable_paper'] == (
        tuned + numbers['parts']['alignment'] + numbers['parts']['decoder'])
    assert numbers['learnable'] == sum(
        p.numel() for p in model.parameters() if p.requires_grad)
