import json
import math

import pytest
import torch

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.shipped import config_path, configs_folder

MINI = config_path('dcpclip_mini')
RESULTS = {'time_ratio', 'extra_memory_gb', 'gflops', 'seconds', 'words_memory_gb',
           'memory_with_words_gb'}


@pytest.fixture(autouse=True)
def one_thread():
    """Toy sizes gain nothing from more, and wait for them on a busy machine."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def benchmark(*args, config=MINI):
    """`dcpclip benchmark` on the mini config as called from a shell."""
    return main(['benchmark', '--config', str(config), '--size', '64', '--repeats', '2',
                 '--threads', '1', *map(str, args)])


def mini_vit_multiply_adds(side: int = 64) -> int:
    """All matrix products of mini-ViT-8: 5 blocks of width 128, joint space 128."""
    patches, width = (side // 8)**2, 128
    tokens = patches + 1
    block = tokens * width * width * (4 + 8) + 2 * tokens**2 * width
    return patches * width * 3 * 64 + 5 * block + tokens * width * 128


def test_rows(tmp_path, capsys):
    out, picture = tmp_path / 'new' / 'out.json', tmp_path / 'out.png'
    assert benchmark('--classes', 5, 40, '--selected', 2, 4, 9, 'auto', '--json', out,
                     '--train-categories', 2, 4, '--models', 'clip', 'dcpclip',
                     '--plot', picture) == 0
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


def test_bf16(tmp_path):
    out = tmp_path / 'out.json'
    benchmark('--classes', 5, '--selected', 2, '--models', 'dcpclip', '--phases',
              'forward', '--amp', 'bf16', '--json', out)
    head = json.loads(out.read_text())
    assert head['precision'] == 'bf16' and head['compiled'] is False
    assert [row['model'] for row in head['rows']] == ['clip', 'dcpclip']


def test_san_is_not_run_where_it_cannot_be(tmp_path, capsys, monkeypatch):
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


def test_efficiency(tmp_path, capsys):
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


def test_pipeline(tmp_path, capsys):
    out = tmp_path / 'out.json'
    assert benchmark('--pipeline', '--count', 3, '--picture-size', 32, 40, '--classes',
                     6, '--selected', 2, '--workers', 0, '--json', out) == 0
    found = json.loads(out.read_text())['pipeline']
    assert found['pictures'] == 3 and found['network'] > 0
    assert found['ratio'] == pytest.approx(found['pipeline'] / found['network'])
    assert list(found['stages']) == ['load', 'resize', 'network', 'label map', 'write']
    assert min(found['stages'].values()) > 0
    printed = capsys.readouterr().out
    assert 'label map' in printed and 'disk to' in printed


@pytest.mark.parametrize('args, message', [
    (('--classes', 0), "'0' is not a whole number"),
    (('--selected', -1), "'-1' is not a whole number"),
    (('--selected', 'some'), "'some' is not a whole number"),
    (('--warmup', -1), '--warmup'),
    (('--amp', 'fp16'), 'bf16 on the CPU'),
    (('--config', 'nowhere.py'), 'nowhere.py'),
    (('--efficiency', '--selected', 'auto'), 'needs a number'),
    (('--efficiency', '--plot', 'out.png'), '--plot'),
    (('--efficiency', '--pipeline'), 'choose one'),
    (('--pipeline', '--selected', 'auto'), 'needs a number'),
    (('--json', configs_folder()), 'is a folder')])
def test_bad_arguments(args, message, capsys):
    with pytest.raises(SystemExit):
        benchmark(*args)
    assert message in capsys.readouterr().err


def test_launches(tmp_path, capsys):
    out = tmp_path / 'out.json'
    assert benchmark('--launches', '--classes', 20, '--selected', 5, '--size', 48,
                     '--json', out) == 0
    rows = json.loads(out.read_text())['launches']
    assert len(rows) == 5 and all(
        row['encoder'] > 0 and row['beyond'] > 0 for row in rows)
    assert 'waits of the host' in capsys.readouterr().out


def test_modes(tmp_path, capsys):
    out = tmp_path / 'out.json'
    assert benchmark('--modes', '--classes', 20, '--selected', 5, '--repeats', 1,
                     '--warmup', 0, '--json', out, '--cfg-options',
                     'modes.accurate.tta=none', 'modes.accurate.mode=slide',
                     'modes.accurate.crop_size=(32,32)',
                     'modes.accurate.stride=(32,32)', 'test_pipeline.2.max_side=64'
                     ) == 0
    rows = json.loads(out.read_text())['modes']
    assert [(row['mode'], row['tta'], row['views'], row['size']) for row in rows] == [
        ('fast', None, 1, [48, 64]), ('accurate', None, 5, [32, 32]),
        *(('fast', tta, 2, [48, 64]) for tta in ('flip', 'shift', 'flip+shift'))]
    assert rows[0]['time_ratio'] == 1 and rows[2]['time_ratio'] > 0
    assert 'x first' in capsys.readouterr().out
    assert benchmark('--modes', '--cfg-options', 'modes=None') == 1
    assert 'add modes=dict(NAME=' in capsys.readouterr().err


def test_static(tmp_path, capsys, monkeypatch):
    """What is built is tested with the model; here nothing is, since it takes long."""
    built = []
    monkeypatch.setattr('torch.compile',
                        lambda f, **options: built.append(options) or f)
    monkeypatch.setattr('mmseg_dcpclip.models.segmentors.compiling._KEPT', {})
    out = tmp_path / 'out.json'
    assert benchmark('--static', '--classes', 20, '--selected', 5, '--repeats', 1,
                     '--warmup', 0, '--size', 32, '--json', out) == 0
    rows = json.loads(out.read_text())['static']
    assert [(row['case'], row['categories']) for row in rows] == [
        ('encoder', None), ('encoder, compiled', None), ('as selected', 5),
        ('as selected, neck and head compiled', 5), ('static', 32),
        ('static, compiled', 32)]
    assert built == [{}, dict(dynamic=False), dict(fullgraph=True)]
    assert rows[0]['time_ratio'] == 1 and rows[0]['build_seconds'] is None
    assert rows[-1]['build_seconds'] > 0
    assert 'first call (s)' in capsys.readouterr().out


def test_too_many_categories_to_train_on(capsys):
    assert benchmark('--train-categories', 9999, '--classes', 5) == 1
    assert 'error: --train-categories 9999: the config' in capsys.readouterr().err


def test_read_outs(tmp_path, capsys):
    out = tmp_path / 'out.json'
    assert benchmark('--read-outs', 'kk_gauss', 'value', '--json', out) == 0
    rows = json.loads(out.read_text())['read_outs']
    assert [row['read_out'] for row in rows] == ['plain', 'kk_gauss', 'value']
    plain, kk_gauss, value = rows
    assert plain['time_ratio'] == plain['gflops_ratio'] == 1
    assert plain['gflops'] * 1e9 == pytest.approx(mini_vit_multiply_adds(), rel=1e-9)
    assert value['gflops'] < kk_gauss['gflops'] < plain['gflops']
    assert all(row['time_ratio'] > 0 for row in rows)
    assert 'x plain' in capsys.readouterr().out


@pytest.mark.parametrize('args, message', [
    (('--efficiency', ), 'choose one'),
    (('--plot', 'out.png'), '--read-outs does not')])
def test_read_outs_stand_alone(args, message, capsys):
    with pytest.raises(SystemExit):
        benchmark('--read-outs', 'value', *args)
    assert message in ' '.join(capsys.readouterr().err.split())
