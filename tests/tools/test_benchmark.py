import json
import math
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_dcpclip.evaluation.efficiency import (
    Job,
    count_parameters,
    measure_times,
    multiply_adds,
    peak_memory,
    summarize_times,
)

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
MINI = CONFIGS / 'dcpclip_mini.py'
RESULTS = {'time_ratio', 'extra_memory_gb', 'gflops', 'seconds', 'words_memory_gb',
           'memory_with_words_gb'}


@pytest.fixture(autouse=True)
def one_thread():
    """Toy sizes gain nothing from more, and wait for them on a busy machine."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def benchmark(monkeypatch, load_tool):
    """tools/benchmark.py on the mini config as called from a shell."""

    def run(*args, config=MINI):
        monkeypatch.setattr(sys, 'argv', [
            'benchmark.py', '--config', str(config), '--size', '64', '--repeats', '2',
            '--threads', '1', *map(str, args)])
        load_tool('benchmark.py').main()

    return run


def mini_vit_multiply_adds(side: int = 64) -> int:
    """All matrix products of mini-ViT-8: 5 blocks of width 128, joint space 128."""
    patches, width = (side // 8)**2, 128
    tokens = patches + 1
    block = tokens * width * width * (4 + 8) + 2 * tokens**2 * width
    return patches * width * 3 * 64 + 5 * block + tokens * width * 128


def test_rows(benchmark, tmp_path, capsys):
    out, picture = tmp_path / 'new' / 'out.json', tmp_path / 'out.png'
    benchmark('--classes', 5, 40, '--selected', 2, 4, 9, 'auto', '--json', out,
              '--train-categories', 2, 4, '--models', 'clip', 'dcpclip',
              '--plot', picture)
    head = json.loads(out.read_text())
    assert head['machine']['threads'] == 1 and head['config'] == MINI.name
    assert head['precision'] == 'fp32' and head['open_clip_seconds']['median'] > 0
    assert {'command', 'date', 'notes', 'version'} <= set(head)
    rows = {(r['model'], r['classes'], r.get('selection'), r['selected'], r['phase']): r
            for r in head['rows']}
    assert len(rows) == len(head['rows'])
    for row in head['rows']:
        assert RESULTS <= set(row)
        time = row['seconds']
        assert 0 < time['min'] <= time['q1'] <= time['median'] <= time['q3']
        assert 0 < row['time_ratio'] < math.inf and row['extra_memory_gb'] > 0
    clip, clip_train = (rows['clip', None, None, None, phase]
                        for phase in ('forward', 'train'))
    assert clip['time_ratio'] == clip_train['time_ratio'] == 1
    assert clip['gflops'] * 1e9 == pytest.approx(mini_vit_multiply_adds(), rel=1e-9)
    assert clip_train['gflops'] > 1.5 * clip['gflops']
    assert clip_train['extra_memory_gb'] > clip['extra_memory_gb']

    forward = {key[1:4]: row for key, row in rows.items()
               if key[0] == 'dcpclip' and key[4] == 'forward'}
    assert {key for key in forward if key[1] == 'fixed'} == {
        (c, 'fixed', k) for c, k in ((5, 2), (5, 4), (5, 5), (40, 2), (40, 4), (40, 9))}
    assert sum(key[1] == 'auto' for key in forward) == 2
    for c in (5, 40):
        assert forward[c, 'fixed', 2]['gflops'] < forward[c, 'fixed', 4]['gflops']
        assert forward[c, 'fixed', 2]['words_memory_gb'] == c * 128 * 4 / 1e9
    for k in (2, 4):
        few, many = (forward[c, 'fixed', k] for c in (5, 40))
        assert few['gflops_head'] == pytest.approx(many['gflops_head'], rel=1e-6)
        assert few['gflops_selection'] < many['gflops_selection']
        assert few['gflops_encoder'] == pytest.approx(clip['gflops'])
    assert {key[1:4] for key in rows if key[4] == 'postprocess'} == set(forward)
    assert {key[3] for key in rows if key[0] == 'dcpclip' and key[4] == 'train'} == {
        2, 4}
    assert picture.stat().st_size > 1000
    assert 'multiply-adds' in capsys.readouterr().out


def test_bf16(benchmark, tmp_path):
    out = tmp_path / 'out.json'
    benchmark('--classes', 5, '--selected', 2, '--models', 'dcpclip', '--phases',
              'forward', '--amp', 'bf16', '--json', out)
    head = json.loads(out.read_text())
    assert head['precision'] == 'bf16' and head['compiled'] is False
    assert [row['model'] for row in head['rows']] == ['clip', 'dcpclip']


def test_san_is_not_run_where_it_cannot_be(benchmark, tmp_path, capsys, monkeypatch):
    out = tmp_path / 'out.json'
    args = ('--selected', 2, '--models', 'san', '--phases', 'forward', '--json', out)
    benchmark(*args, '--classes', 10000)
    clip, san = json.loads(out.read_text())['rows']
    assert clip['model'] == 'clip' and san['classes'] == 10000
    assert san['not_run'].startswith('not run: would need 30.4 GB')
    assert san['time_ratio'] is None and san['seconds'] is None
    assert 'not run' in capsys.readouterr().out

    def broken(*args, **kwargs):
        raise RuntimeError('no compiled ops')
    monkeypatch.setattr('mmseg.models.MultimodalEncoderDecoder.__init__', broken)
    benchmark(*args, '--classes', 5)
    san = json.loads(out.read_text())['rows'][1]
    assert 'no compiled ops' in san['not_run']


def test_efficiency(benchmark, tmp_path, capsys):
    out = tmp_path / 'out.json'
    benchmark('--efficiency', '--selected', 'auto', 3, '--json', out)
    row, = json.loads(out.read_text())['efficiency']
    assert sum(row['parts_m'].values()) == pytest.approx(row['total_m'])
    assert row['views'] == 1 and row['selected'] == 3
    assert row['train_min'] == row['miou'] == 'not run'
    assert row['seconds']['min'] > 0
    assert row['gflops'] * 1e9 > mini_vit_multiply_adds()
    printed = capsys.readouterr().out
    assert '443.60' in printed and 'multiply-adds' in printed


@pytest.mark.parametrize('args, message', [
    (('--classes', 0), "'0' is not a whole number"),
    (('--selected', -1), "'-1' is not a whole number"),
    (('--selected', 'some'), "'some' is not a whole number"),
    (('--warmup', -1), '--warmup'),
    (('--device', 'tpu'), 'must be cpu, cuda'),
    (('--amp', 'fp16'), 'bf16 on the CPU'),
    (('--config', 'nowhere.py'), 'nowhere.py'),
    (('--efficiency', '--selected', 'auto'), 'needs a number'),
    (('--efficiency', '--plot', 'out.png'), '--plot'),
    (('--json', CONFIGS), 'is a folder')])
def test_bad_arguments(args, message, benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark(*args)
    assert message in capsys.readouterr().err


def test_no_cuda_row_without_cuda(benchmark, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit):
        benchmark('--device', 'cuda')
    assert 'no CUDA device' in capsys.readouterr().err


def test_too_many_categories_to_train_on(benchmark):
    with pytest.raises(ValueError, match='--train-categories 9999'):
        benchmark('--train-categories', 9999, '--classes', 5)


# --------------------------------------------------------------------------- helpers

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
    jobs = [Job(lambda i=i: seen.append(i), lambda i=i: seen.append(-i))
            for i in (1, 2)]
    times = measure_times(jobs, repeats=3, warmup=1)
    assert seen == [-1, 1, -2, 2] * 4
    assert [len(t) for t in times] == [3, 3]
    assert summarize_times([4, 1, 2, 3]) == dict(median=2.5, min=1, q1=1.75, q3=3.25)
    with pytest.raises(ValueError, match='repeats'):
        measure_times(jobs, 0)


@pytest.mark.parametrize('config', [MINI, CONFIGS / 'dcpclip_vitl14_coco.py'])
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


def test_training_has_exactly_the_pairs_asked_for(load_tool, monkeypatch):
    tool = load_tool('benchmark.py')
    torch.set_num_threads(1)
    model = tool.random_model(Config.fromfile(MINI), 'cpu')
    bench = tool.Bench(model, 64, 'cpu')
    seen = []
    decode = model.decode
    monkeypatch.setattr(model, 'decode', lambda features, text, pairs: seen.append(
        len(pairs)) or decode(features, text, pairs))
    for case in bench.train_cases([3, 20]):
        for _ in range(2):
            case.job.setup()
            case.job.call()
    assert seen == [3, 3, 20, 20]
    weights = [p for name, p in model.backbone.named_parameters()
               if name.endswith(('q_proj.weight', 'v_proj.weight'))]
    assert len(weights) == 10 and all(p.grad is not None for p in weights)


def test_random_words_are_unit_and_always_the_same(load_tool):
    tool = load_tool('benchmark.py')
    words = tool.RandomWords(100, 16, 3, 'cpu', torch.float16)
    ids = torch.tensor([99, 0, 5])
    rows = words.rows(ids)
    assert rows.shape == (3, 3, 16) and rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(3, 3))
    assert torch.equal(rows[1:2], words.rows(torch.tensor([0])))
    assert words.mean.dtype == torch.float16 and words.nbytes == 100 * 16 * 2
