"""Weights are read, and nothing that a file holds is run, on every route."""

import io
import os
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from safetensors.torch import save_file

from mmseg_dcpclip import Predictor
from mmseg_dcpclip.cli import main
from mmseg_dcpclip.miniworld.demo import keep_weights
from mmseg_dcpclip.models.clip.loading import load_clip_weights
from mmseg_dcpclip.models.unpickling import RESTRICTED_PICKLE, NotAllowedError
from mmseg_dcpclip.models.weight_files import WeightFileError, read_weight_file

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / 'configs' / 'dcpclip_mini.py')
WEIGHTS = OrderedDict(a=torch.arange(6.).view(2, 3).t(), b=torch.tensor(3),
                      half=torch.ones(2).half(), empty=torch.zeros(0))


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}', )


def write(path, content, form='zip'):
    torch.save(content, path, _use_new_zipfile_serialization=form == 'zip')
    return path


def mmengine_checkpoint():
    """All kinds of things that Runner saves."""
    hub = MessageHub('weights')
    hub.update_scalar('train/loss', torch.tensor(2.))
    hub.update_scalar('train/loss', np.float32(3.))
    hub.update_info('metrics', dict(mIoU=np.float64(5.), ids=np.arange(3),
                                    names=np.array(['a', 'b']), words={'x'}))
    return dict(
        meta=dict(iter=3, epoch=0, seed=np.int64(7), cfg='model = dict()',
                  dataset_meta=dict(classes=('a', ), palette=np.eye(3, dtype='u1'))),
        state_dict=OrderedDict(WEIGHTS), message_hub=hub.state_dict(),
        optimizer=dict(state={0: dict(step=torch.tensor(3.))}, param_groups=[{}]),
        param_schedulers=[dict(milestones=Counter([2, 4]))])


@pytest.mark.parametrize('form', ['zip', 'before 1.6'])
@pytest.mark.parametrize('mmap', [False, True])
def test_what_mmengine_saves_is_read(tmp_path, form, mmap):
    content = mmengine_checkpoint()
    path = write(tmp_path / 'a.pth', content, form)
    read = read_weight_file(path, mmap=mmap)
    assert read.keys() == content.keys()
    for key, value in WEIGHTS.items():
        assert torch.equal(read['state_dict'][key], value)
    buffer = read['message_hub']['log_scalars']['train/loss']
    assert buffer.mean() == 2.5 and buffer.statistics('max') == 3.
    info = read['message_hub']['runtime_info']['metrics']
    assert info['mIoU'] == 5. and info['ids'].tolist() == [0, 1, 2]
    assert info['names'].tolist() == ['a', 'b'] and info['words'] == {'x'}
    assert read['meta']['seed'] == 7 and read['param_schedulers'] == content[
        'param_schedulers']


def test_safetensors_are_known_by_content(tmp_path):
    for name in ('a.safetensors', 'a.pth'):
        save_file({k: v.contiguous() for k, v in WEIGHTS.items()}, tmp_path / name)
        read = read_weight_file(tmp_path / name)
        assert all(torch.equal(read[key], value) for key, value in WEIGHTS.items())


class Scripted(torch.nn.Module):

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
        self.tied = self.layers[0]
        self.table = torch.nn.Parameter(torch.arange(6.).view(2, 3).t().half())
        self.register_buffer('input_resolution', torch.tensor(224))
        self.sizes = [1, 2]
        # one storage, as of a fused q, k, v
        both = torch.arange(10.)
        self.register_buffer('first', both[:4])
        self.register_buffer('second', both[4:].view(2, 3))

    def forward(self, x):
        return self.layers(x) * self.sizes[0]


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('make', [
    torch.jit.script, lambda module: torch.jit.trace(module, torch.ones(1, 3))])
def test_torchscript_gives_what_its_module_would(tmp_path, make, monkeypatch):
    path = tmp_path / 'a.pt'
    module = make(Scripted())
    module.save(str(path))
    monkeypatch.setattr(torch.jit, 'load', None)  # would compile the program
    read, expected = read_weight_file(path), module.state_dict()
    assert set(read) == set(expected)
    for key, value in expected.items():
        assert read[key].dtype == value.dtype and torch.equal(read[key], value), key


def test_torchscript_with_other_things_is_refused(tmp_path):
    path, mark = tmp_path / 'a.pt', tmp_path / 'mark'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a/data.pkl', pickle.dumps(Touch(mark), protocol=2))
        archive.writestr('a/constants.pkl', pickle.dumps((), protocol=2))
        archive.writestr('a/version', '3\n')
    with pytest.raises(WeightFileError, match='system'):
        read_weight_file(path)
    assert not mark.exists()


@pytest.mark.parametrize('program', [
    b'cos\nsystem\n(S"true"\ntR.',
    b'cbuiltins\neval\n(S"1"\ntR.',
    b'cbuiltins\ngetattr\n(cbuiltins\nstr\nS"format"\ntR.',
    b'ctorch.storage\n_load_from_bytes\n(S""\ntR.',
    b'c_codecs\nencode\n(S"x"\nS"rot13"\ntR.',
    # attributes of a class, which others would see
    b'cmmengine.logging.history_buffer\nHistoryBuffer\nN}S"update"\nK\x01s\x86b.',
])
def test_what_a_pickle_may_not_ask_for(program):
    with pytest.raises(NotAllowedError):
        RESTRICTED_PICKLE.load(io.BytesIO(b'\x80\x02' + program))


BAD = {
    'empty': (b'', 'is empty'),
    'page': (b'<!DOCTYPE html><html>', 'web page'),
    'lfs': (b'version https://git-lfs.github.com/spec/v1\noid', 'git lfs pull'),
    'picture': (b'\x89PNG\r\n\x1a\n' + bytes(60), 'holds no weights'),
    'torn safetensors': (b'\x80\0\0\0\0\0\0\0{"a": 1', 'damaged or cut short'),
    'torn pickle': (pickle.dumps(list(range(999)))[:50], 'damaged or cut short'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_files_are_named(tmp_path, name):
    path = tmp_path / 'a.pth'
    path.write_bytes(BAD[name][0])
    with pytest.raises(WeightFileError, match=BAD[name][1]) as caught:
        read_weight_file(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_bad_content_is_named(tmp_path):
    path = write(tmp_path / 'a.pth', dict(WEIGHTS))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(WeightFileError, match='damaged or cut short'):
        read_weight_file(path)
    with pytest.raises(WeightFileError, match='holds a list'):
        read_weight_file(write(path, [1]))
    with pytest.raises(WeightFileError, match='folder'):
        read_weight_file(tmp_path)
    with pytest.raises(FileNotFoundError, match='none.pth'):
        read_weight_file(tmp_path / 'none.pth')
    with pytest.raises(WeightFileError, match='knows no weights open-mmlab://no_such'):
        CheckpointLoader.load_checkpoint('open-mmlab://no_such')


def toy_config(path, **changes):
    from toys import toy_model_config
    return Config(dict(
        model=toy_model_config(**changes), work_dir=str(path.parent / 'run'),
        default_scope='mmseg', log_level='ERROR', load_from=str(path)))


def by_runner(path):
    """The stock one."""
    Runner.from_cfg(toy_config(path)).load_or_resume()


def by_init_model(path):
    from mmseg.apis import init_model
    init_model(CONFIG, str(path), device='cpu')


def by_pretrained(path, prefix=None):
    module = BaseModule(dict(type='Pretrained', checkpoint=str(path), prefix=prefix))
    module.init_weights()


def by_download(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.hub, 'get_dir', lambda: str(path.parent / 'hub'))
        patch.setattr(torch.hub, 'download_url_to_file', lambda url, to, **kwargs:
                      Path(to).write_bytes(path.read_bytes()))
        load_checkpoint(torch.nn.Linear(1, 1), f'https://example.org/{path.name}')


def by_command(*words):
    def run(path):
        rest = [str(path) if word == 'PATH' else word for word in words[2:]]
        status = main([*words[:2], *rest, '--work-dir', str(path.parent / 'run')])
        assert status == 1
        raise WeightFileError('said by the command: needs posix.system')
    return run


def by_hook(path):
    """Published checkpoints are read once more."""
    from mmengine.hooks import CheckpointHook
    CheckpointHook(published_keys=['state_dict'])._publish_model(None, str(path))


ROUTES = {
    'Predictor': lambda path: Predictor(CONFIG, path),
    'Runner': by_runner,
    'init_model': by_init_model,
    'Pretrained': by_pretrained,
    'Pretrained with a prefix': lambda path: by_pretrained(path, 'backbone'),
    'download': by_download,
    'published': by_hook,
    'demo': lambda path: keep_weights(path, path.with_name('out.pth')),
    'CLIP': lambda path: load_clip_weights('mini-ViT-8', str(path)),
    'dcpclip test': by_command('test', CONFIG, 'PATH'),
    'dcpclip train --resume': by_command('train', CONFIG, '--resume', 'PATH'),
}


@pytest.mark.parametrize('form', ['zip', 'plain pickle'])
@pytest.mark.parametrize('route', [r for r in ROUTES if not r.startswith('dcpclip')])
def test_no_route_runs_what_a_file_holds(tmp_path, route, form):
    path, mark = tmp_path / 'a.pth', tmp_path / 'mark'
    if form == 'plain pickle':
        path.write_bytes(pickle.dumps(Touch(mark)))
    else:
        write(path, dict(state_dict=dict(WEIGHTS), meta=dict(evil=Touch(mark))))
    with pytest.raises(WeightFileError, match='needs posix.system') as caught:
        ROUTES[route](path)
    assert not mark.exists() and 'safetensors' in str(caught.value)


@pytest.mark.parametrize('route', [r for r in ROUTES if r.startswith('dcpclip')])
def test_no_command_runs_what_a_file_holds(tmp_path, route, capsys):
    path, mark = tmp_path / 'a.pth', tmp_path / 'mark'
    write(path, dict(state_dict=dict(WEIGHTS), meta=dict(iter=1, evil=Touch(mark))))
    with pytest.raises(WeightFileError):
        ROUTES[route](path)
    assert not mark.exists()
    assert f'{path} needs posix.system' in capsys.readouterr().err
