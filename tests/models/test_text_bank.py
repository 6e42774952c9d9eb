"""Embeddings are encoded once, kept on disk, and never mistaken for others."""

import errno
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import warnings
from collections import namedtuple
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.utils import ProgressBar
from toys import toy_model, toy_samples

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.models import CLIPTextEncoder
from mmseg_dcpclip.models.structures import TextEmbeddings
from mmseg_dcpclip.models.text_encoders import (
    TextBank,
    clip_text,
    text_bank,
)

ROOT = Path(__file__).resolve().parents[2]
WORDS = Vocabulary(['cat', 'a dog with a long tail|puppy', 'sky'])


def make_encoder(seed=0, **options):
    torch.manual_seed(seed)
    return CLIPTextEncoder('mini-ViT-8', **{'templates': ['{}', 'some {}'], **options})


@pytest.fixture
def encoder():
    return make_encoder()


@pytest.fixture
def calls(monkeypatch):
    """Grows by one whenever any text tower runs."""
    seen = []
    forward = CLIPTextEncoder.forward
    monkeypatch.setattr(CLIPTextEncoder, 'forward', lambda self, tokens: seen.append(
        len(tokens)) or forward(self, tokens))
    return seen


def entries(root):
    """Folders of entries below a root; fails over what should not be there."""
    paths = sorted(path for path in root.iterdir() if path.suffix != '.lock')
    assert all((path / 'meta.json').is_file() and len(path.name) == 64
               for path in paths), paths
    return paths


def assert_same(one, other):
    for name in ('templates', 'mean'):
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype and torch.equal(a, b), name


# ------------------------------------------------------------------------ blocks

@torch.no_grad()
def test_blocks_of_one_category_equal_one_block(encoder):
    whole = encoder.encode(WORDS)
    blocks = list(encoder.encode_blocks(WORDS, block=1))
    assert [block.shape for block in blocks] == [(1, 2, 128)] * 3
    torch.testing.assert_close(torch.cat(blocks), whole, atol=1e-6, rtol=1e-5)
    sizes = [len(block) for block in encoder.encode_blocks(WORDS, block=6)]
    assert sizes == [2, 1]  # 2 + 4 prompts, then 2
    assert len(next(encoder.encode_blocks(WORDS, ['{}']))) == 3


@torch.no_grad()
@pytest.mark.parametrize('main, start, shown', [
    (True, 8, ' 8/8'), (True, 9, ''), (False, 8, '')])
def test_one_progress_bar_over_all_blocks(encoder, monkeypatch, main, start, shown):
    out = io.StringIO()
    monkeypatch.setattr(clip_text, 'PROGRESS_FROM', start)
    monkeypatch.setattr(clip_text, 'is_main_process', lambda: main)
    monkeypatch.setattr(clip_text, 'ProgressBar', partial(ProgressBar, file=out))
    list(encoder.encode_blocks(WORDS, block=1))
    assert out.getvalue().count(' 0/8') == bool(shown) and shown in out.getvalue()


def test_blocks_take_part_in_training():
    tuned = make_encoder(trainable='qv')
    tuned.encode(WORDS).sum().backward()
    grads = [p.grad for p in tuned.parameters() if p.requires_grad]
    assert grads and all(grad is not None and grad.any() for grad in grads)


def test_long_word_one_word_and_no_word(encoder, tmp_path):
    bank = TextBank(tmp_path)
    with pytest.warns(UserWarning, match='cut to 75.*xqzjxqzj'):
        text = bank.get(encoder, Vocabulary(['xqzj' * 125, 'cat']))
    assert torch.isfinite(text.templates).all()
    assert bank.get(encoder, Vocabulary(['cat'])).mean.shape == (1, 128)
    with pytest.raises(ValueError, match='empty'):
        bank.get(encoder, Vocabulary([]))


# ------------------------------------------------------------------------ memory

@pytest.mark.parametrize('precision', ['float16', 'float32'])
def test_hits_and_misses_in_memory(encoder, calls, precision):
    bank = TextBank(None, 2, precision, precision)
    first = bank.get(encoder, WORDS)
    assert bank.get(encoder, Vocabulary(WORDS.synonyms, name='same')) is first
    assert len(calls) == 1
    assert first.templates.shape == (3, 2, 128) and first.mean.shape == (3, 128)
    assert first.templates.dtype == first.mean.dtype == getattr(torch, precision)
    assert not first.templates.requires_grad
    expected = encoder.encode(WORDS).detach()
    tolerance = dict(atol=1e-3 if precision == 'float16' else 1e-6, rtol=0)
    torch.testing.assert_close(first.templates.float(), expected, **tolerance)
    torch.testing.assert_close(
        first.mean.float(), F.normalize(expected.mean(1), dim=-1), **tolerance)
    del calls[:]
    bank.get(encoder, Vocabulary(['b']))
    bank.get(encoder, WORDS)
    bank.get(encoder, Vocabulary(['c']))  # 'b' goes
    assert len(calls) == len(bank) == 2
    bank.get(encoder, WORDS)
    assert len(calls) == 2
    bank.get(encoder, Vocabulary(['b']))
    assert len(calls) == 3
    bank.clear()
    assert len(bank) == 0


@pytest.mark.parametrize('options, message', [
    (dict(precision='float8'), 'float8'), (dict(capacity=0), 'capacity')])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        TextBank(None, **options)


def test_writes_to_a_tuned_tower_are_seen_and_stay_off_the_disk(tmp_path, calls):
    encoder = make_encoder(trainable='qv')
    bank = TextBank(tmp_path)
    before = bank.get(encoder, WORDS)
    for p in encoder.parameters():  # as EMA hooks swap weights
        if p.requires_grad:
            version = p._version
            p.data.mul_(3)
            assert p._version == version
    after = bank.get(encoder, WORDS)
    assert len(calls) == 2 and not torch.equal(before.mean, after.mean)
    assert bank.folder(encoder, WORDS) is None and not bank.on_disk(encoder, WORDS)
    assert list(tmp_path.iterdir()) == []


def test_rows(tmp_path):
    templates = F.normalize(torch.randn(5, 3, 8), dim=-1)
    text = TextEmbeddings.from_templates(templates.half())
    ids = torch.tensor([4, 0, 4])
    assert text.rows(ids).dtype == torch.float32
    assert torch.equal(text.rows(ids), templates.half().float()[ids])
    assert text.rows(ids[:0]).shape == (0, 3, 8)
    tuned = templates.requires_grad_()
    TextEmbeddings(tuned.expand(-1, 3, -1), tuned[:, 0]).rows(ids).sum().backward()
    assert tuned.grad[4].eq(2).all() and tuned.grad[1].eq(0).all()


# -------------------------------------------------------------------------- disk

@pytest.mark.parametrize('precision', ['float16', 'float32'])
def test_second_start_encodes_nothing(encoder, tmp_path, calls, precision):
    kinds = dict(precision=precision, mean_precision=precision)
    memory = TextBank(None, **kinds).get(encoder, WORDS)
    root = tmp_path / 'new' / 'bank'
    missed = TextBank(root, **kinds).get(encoder, WORDS)
    del calls[:]
    hit = TextBank(str(root), **kinds).get(make_encoder(), WORDS)
    assert calls == [] and len(entries(root)) == 1
    assert_same(missed, hit)
    assert_same(memory, hit)
    ids = torch.tensor([2, 0])
    assert torch.equal(hit.rows(ids), memory.rows(ids))
    folder, = entries(root)
    item = 2 if precision == 'float16' else 4
    assert (folder / 'templates.bin').stat().st_size == 3 * 2 * 128 * item
    meta = json.loads((folder / 'meta.json').read_text())
    assert meta['words'] == WORDS.words_digest and meta['model_name'] == 'mini-ViT-8'
    assert meta['templates'] == ['{}', 'some {}'] and meta['precision'] == dict(
        templates=precision, mean=precision)


def test_what_comes_out_cannot_change_what_is_on_disk(encoder, tmp_path):
    before = TextBank(tmp_path).get(encoder, WORDS).rows(torch.arange(3))
    TextBank(tmp_path).get(encoder, WORDS).templates.zero_()
    assert torch.equal(TextBank(tmp_path).get(encoder, WORDS).rows(torch.arange(3)),
                       before)


def change_weights(encoder):
    with torch.no_grad():  # as an optimiser step does
        encoder.text.text_projection.mul_(-1)


CHANGES = {
    'words': dict(words=['cat', 'a dog with a long tail|puppy', 'sea']),
    'order': dict(words=['a dog with a long tail|puppy', 'cat', 'sky']),
    'synonyms': dict(words=['cat', 'a dog with a long tail', 'sky']),
    'templates': dict(options=dict(templates=['{}', 'many {}'])),
    'quick_gelu': dict(options=dict(quick_gelu=True)),
    'precision': dict(precision='float32'),
    'mean_precision': dict(mean_precision='float16'),
    'weights': dict(change=change_weights),
    'checkpoint': dict(change=lambda encoder: encoder.load_state_dict(
        make_encoder(seed=1).state_dict())),
}


@pytest.mark.parametrize('what', CHANGES)
def test_miss_on_another(what, encoder, tmp_path, calls):
    first = TextBank(tmp_path).get(encoder, WORDS)
    case = dict(words=WORDS, options={}, change=lambda e: None) | CHANGES[what]
    kinds = {k: v for k, v in case.items() if 'precision' in k}
    other, words = make_encoder(**case['options']), Vocabulary.of(case['words'])
    case['change'](other)
    del calls[:]
    bank = TextBank(tmp_path, **kinds)
    result = bank.get(other, words)
    assert len(calls) == 1 and len(entries(tmp_path)) == 2
    assert any(a.dtype != b.dtype or not torch.equal(a, b) for a, b in (
        (first.templates, result.templates), (first.mean, result.mean)))
    assert_same(result, TextBank(None, **kinds).get(other, words))


def test_changed_weights_in_one_bank(encoder, tmp_path, calls):
    bank = TextBank(tmp_path)
    first = bank.get(encoder, WORDS)
    change_weights(encoder)
    assert torch.equal(bank.get(encoder, WORDS).mean, -first.mean)
    change_weights(encoder)  # as at first: the memory cannot know, the disk does
    assert_same(bank.get(encoder, WORDS), first)
    assert len(calls) == 2


def truncate(folder):
    with (folder / 'templates.bin').open('r+b') as file:
        file.truncate(100)


def corrupt_mean(folder):
    content = bytearray((folder / 'mean.bin').read_bytes())
    content[5] ^= 1
    (folder / 'mean.bin').write_bytes(content)


def edit_meta(folder):
    meta = json.loads((folder / 'meta.json').read_text())
    (folder / 'meta.json').write_text(json.dumps(dict(meta, model_name='ViT-B-16')))


DAMAGES = {
    'truncated': (truncate, 'templates.bin has 100 bytes instead of 1536'),
    'mean': (corrupt_mean, 'mean.bin'),
    'short mean': (lambda f: (f / 'mean.bin').write_bytes(b''), 'mean.bin'),
    'no json': (lambda f: (f / 'meta.json').write_text('{"format'), 'meta.json'),
    'no fields': (lambda f: (f / 'meta.json').write_text('[]'), 'meta.json'),
    'edited': (edit_meta, 'other model_name'),
    'gone': (lambda f: (f / 'templates.bin').unlink(), 'templates.bin'),
    'empty': (lambda f: shutil.rmtree(f) or f.mkdir(), 'meta.json'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_torn_entry_is_replaced(damage, encoder, tmp_path, calls):
    first = TextBank(None).get(encoder, WORDS)
    bank = TextBank(tmp_path)
    bank.get(encoder, WORDS)
    folder, = entries(tmp_path)
    harm, message = DAMAGES[damage]
    harm(folder)
    assert not bank.on_disk(encoder, WORDS)
    with pytest.warns(UserWarning, match=folder.name) as caught:
        result = TextBank(tmp_path).get(encoder, WORDS)
    assert len(caught) == 1 and message in str(caught[0].message)
    assert_same(result, first)
    del calls[:]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert_same(TextBank(tmp_path).get(encoder, WORDS), first)
    assert calls == [] and entries(tmp_path) == [folder]


def test_foreign_entry_under_this_key(encoder, tmp_path):
    bank = TextBank(tmp_path)
    other = bank.folder(encoder, Vocabulary(['red', 'green', 'blue']))
    bank.get(encoder, Vocabulary(['red', 'green', 'blue']))
    shutil.copytree(other, bank.folder(encoder, WORDS))
    with pytest.warns(UserWarning, match='other words'):
        result = bank.get(encoder, WORDS)
    assert_same(result, TextBank(None).get(encoder, WORDS))
    assert_same(result, TextBank(tmp_path).get(encoder, WORDS))


def test_leftover_of_a_killed_process(encoder, tmp_path, calls):
    bank = TextBank(tmp_path)
    expected = bank.get(encoder, WORDS)
    folder, = entries(tmp_path)
    folder.rename(tmp_path / f'.{folder.name}.0123')  # all but the last step was done
    del calls[:]
    assert_same(TextBank(tmp_path).get(encoder, WORDS), expected)
    assert len(calls) == 1
    assert entries(tmp_path) == [folder]  # the leftover is gone


def test_interrupted_encoding_leaves_nothing(encoder, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(encoder, 'forward', interrupt)
        TextBank(tmp_path).get(encoder, WORDS)
    assert entries(tmp_path) == []
    TextBank(tmp_path).get(encoder, WORDS)
    assert len(entries(tmp_path)) == 1


def test_entry_of_a_quicker_process_stays(encoder, tmp_path, monkeypatch):
    """Without locks two may encode; the second takes what the first one wrote."""
    monkeypatch.setattr(text_bank, 'fcntl', None)
    encode = encoder.encode_blocks

    def slow(vocabulary):
        yield from encode(vocabulary)
        TextBank(tmp_path).get(make_encoder(), vocabulary)

    monkeypatch.setattr(encoder, 'encode_blocks', slow)
    rename = os.rename
    renamed = []
    monkeypatch.setattr(os, 'rename', lambda a, b: renamed.append(b) or rename(a, b))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        result = TextBank(tmp_path).get(encoder, WORDS)
    assert_same(result, TextBank(None).get(make_encoder(), WORDS))
    assert len(entries(tmp_path)) == 1 and len(renamed) == 2


def test_file_system_without_locks(encoder, tmp_path, monkeypatch):
    def no_locks(*args):
        raise OSError(errno.ENOLCK, 'no locks available')

    monkeypatch.setattr(text_bank.fcntl, 'flock', no_locks)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        TextBank(tmp_path).get(encoder, WORDS)
    assert len(entries(tmp_path)) == 1


WORKER = '''
import sys, time
import torch
from mmengine.logging import MMLogger
from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.models import CLIPTextEncoder
from mmseg_dcpclip.models.text_encoders import TextBank

torch.set_num_threads(1)
torch.manual_seed(0)
MMLogger.get_instance('worker')
encoder = CLIPTextEncoder('mini-ViT-8', templates=['{}', 'some {}'])
forward, calls = encoder.forward, []
def slow(tokens):
    calls.append(1)
    time.sleep(2)
    return forward(tokens)
encoder.forward = slow
print('ready', flush=True)
sys.stdin.readline()
text = TextBank(sys.argv[1]).get(encoder, Vocabulary(['cat', 'dog']))
print('result', len(calls), text.rows(torch.arange(2)).double().abs().sum().item())
'''


def test_two_processes_at_once(tmp_path):
    root = tmp_path / 'bank'
    command = [sys.executable, '-W', 'ignore', '-c', WORKER, str(root)]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env=environment) for _ in range(2)]
    for worker in workers:
        while (line := worker.stdout.readline()) != 'ready\n':
            assert line, 'a worker died'
    for worker in workers:
        worker.stdin.write('go\n')
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    counts, sums = zip(*(output.split('result')[1].split() for output in outputs))
    assert sorted(counts) == ['0', '1'] and sums[0] == sums[1]
    assert sum('waiting for another process' in output for output in outputs) == 1
    assert len(entries(root)) == 1


# --------------------------------------------------- disks that cannot be written

def only_warning(bank, encoder):
    """The embeddings, and the one warning they came with."""
    with pytest.warns(UserWarning) as caught:
        text = bank.get(encoder, WORDS)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert 'MMSEG_DCPCLIP_CACHE' in message and str(bank.root) in message
    return text, message


def make_read_only(root, patch):
    """As a read-only mount: also root's processes cannot write."""
    def refuse(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, 'Permission denied', str(path))

    plain_open = pathlib.Path.open

    def guarded(path, mode='r', *args, **kwargs):
        if root in path.parents and mode[0] in 'wa':
            refuse(path)
        return plain_open(path, mode, *args, **kwargs)

    patch.setattr(pathlib.Path, 'open', guarded)
    patch.setattr(pathlib.Path, 'mkdir', lambda path, *a, exist_ok=False, **k:
                  None if exist_ok and path.is_dir() else refuse(path))
    patch.setattr(os, 'rename', refuse)


def test_read_only_folder(encoder, tmp_path, monkeypatch, calls):
    expected = TextBank(None).get(encoder, WORDS)
    del calls[:]
    with monkeypatch.context() as patch:
        make_read_only(tmp_path, patch)
        bank = TextBank(tmp_path)
        result, message = only_warning(bank, encoder)
        assert bank.get(encoder, WORDS) is result  # in memory
    assert 'Permission denied' in message and len(calls) == 1
    assert_same(result, expected)
    assert list(tmp_path.iterdir()) == []


def test_read_only_folder_that_holds_the_entry(encoder, tmp_path, monkeypatch, calls):
    expected = TextBank(tmp_path).get(encoder, WORDS)
    make_read_only(tmp_path, monkeypatch)
    del calls[:]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert_same(TextBank(tmp_path).get(encoder, WORDS), expected)
    assert calls == []


@pytest.mark.parametrize('torn', [False, True])
def test_disk_that_becomes_full(encoder, tmp_path, monkeypatch, torn):
    expected = TextBank(None).get(encoder, WORDS)
    if torn:
        TextBank(tmp_path).get(encoder, WORDS)
        truncate(entries(tmp_path)[0])

    class FullDisk:
        """A file that takes 100 bytes."""

        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            self.file.write(bytes(data)[:100])
            raise OSError(errno.ENOSPC, 'No space left on device')

    plain_open = pathlib.Path.open
    monkeypatch.setattr(
        pathlib.Path, 'open', lambda path, mode='r', *args: FullDisk(
            plain_open(path, mode, *args)) if mode == 'wb' else plain_open(
                path, mode, *args))
    with pytest.warns(UserWarning) as caught:
        result = TextBank(tmp_path).get(encoder, WORDS)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 1 + torn and 'No space left' in messages[-1]
    assert_same(result, expected)
    assert not list(tmp_path.glob('.*'))


def test_full_disk_is_seen_before_the_work(encoder, tmp_path, monkeypatch, calls):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(10, 10, 0))
    result, message = only_warning(TextBank(tmp_path), encoder)
    assert 'MB are needed' in message and len(calls) == 1
    assert entries(tmp_path) == []


def test_root_that_is_a_file(encoder, tmp_path):
    path = tmp_path / 'file'
    path.write_text('x')
    text, _ = only_warning(TextBank(path), encoder)
    assert_same(text, TextBank(None).get(encoder, WORDS))


# ---------------------------------------------------------------------- settings

def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    monkeypatch.setenv('MMSEG_DCPCLIP_CACHE', str(tmp_path / 'own'))
    assert TextBank().root == tmp_path / 'own' / 'text'
    monkeypatch.delenv('MMSEG_DCPCLIP_CACHE')
    assert TextBank().root == tmp_path / 'xdg' / 'mmseg_dcpclip' / 'text'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert TextBank().root == tmp_path / 'home/.cache/mmseg_dcpclip/text'
    assert TextBank(None).root is None
    assert TextBank('~/x').root == tmp_path / 'home' / 'x'


@torch.no_grad()
@pytest.mark.parametrize('changes', [
    {}, dict(neck=None, decode_head=dict(type='CosineHead'))])
def test_segmentor_with_a_bank(tmp_path, calls, changes):
    kept = toy_model(text_bank=dict(root=str(tmp_path)), **changes).eval()
    plain = toy_model(text_bank=dict(root=None), **changes).eval()
    results = []
    for model in (plain, kept, toy_model(text_bank=dict(root=str(tmp_path)),
                                         **changes).eval()):
        data = model.data_preprocessor(toy_samples([(32, 32)]))
        results.append(model.predict(**data)[0].pred_sem_seg.data)
    assert len(calls) == 2 and len(entries(tmp_path)) == 1
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_tests_keep_away_from_the_users_cache(tmp_path_factory):
    model = toy_model()
    assert tmp_path_factory.getbasetemp() in model.text_bank.root.parents
