import re
from pathlib import Path

import pytest
import torch
from toys import toy_model

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.cli import main

CONFIG = '''
model = dict(
    type='DCPCLIP',
    text_encoder=dict(type='CLIPTextEncoder', model_name='mini-ViT-8', pretrained=None,
                      templates=['{}', 'some {}']),
    vocabulary=['cat', 'dog|puppy'])
'''
PRETRAINED = 'model.text_encoder.pretrained=miniworld'


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(CONFIG)
    return path


@pytest.fixture
def encode(capsys):
    """`dcpclip encode` as called from a shell; its lines on vocabularies."""

    def run(*args):
        capsys.readouterr()
        assert main(['encode', *map(str, args)]) == 0
        return [line for line in capsys.readouterr().out.splitlines()
                if ' words x ' in line and 'encoding' not in line]

    return run


def test_what_it_writes_is_what_a_model_finds(config, tmp_path, encode, monkeypatch):
    model = toy_model(seed=3, vocabulary=['cat', 'dog|puppy'],
                      text_bank=dict(root=str(tmp_path / 'bank')))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    words = tmp_path / 'my words.txt'
    words.write_text('red\ngreen\nblue\n')
    args = [config, tmp_path / 'model.pth', '--bank', tmp_path / 'bank']
    line, = encode(*args)
    folder = model.text_bank.folder(model.text_encoder, model.vocabulary)
    assert line.startswith('a list in memory: 2 words x 2 templates, ')
    assert line.endswith(f' kB, encoded: {folder}')
    lines = encode(*args, '--vocabulary', 'mini-20', words)
    assert [line.split(':')[0] for line in lines] == ['mini-20', 'my words']
    assert all(', encoded: ' in line for line in lines)
    assert encode(*args)[0].endswith(f', already there: {folder}')
    assert len(list((tmp_path / 'bank').glob('*/meta.json'))) == 3

    def no_more(*args):
        raise AssertionError('encoded once more')

    monkeypatch.setattr(model.text_encoder, 'encode_blocks', no_more)
    assert model.text_embeddings().templates.shape == (2, 2, 128)
    model.set_vocabulary(Vocabulary.load(words))
    assert model.text_embeddings().mean.shape == (3, 128)


def test_pretrained_weights_and_the_configs_bank(config, tmp_path, encode):
    line, = encode(config, '--cfg-options', PRETRAINED,
                   f'model.text_bank.root={tmp_path / "of_config"}',
                   'model.text_bank.precision=float32')
    folder = Path(line.rsplit(': ')[-1])
    assert folder.parent == tmp_path / 'of_config'
    assert (folder / 'templates.bin').stat().st_size == 2 * 2 * 128 * 4


@pytest.mark.parametrize('args, message', [
    (['gone.py'], 'no such config: gone.py'),
    (['CONFIG', 'gone.pth'], 'no such checkpoint: gone.pth'),
    (['CONFIG', 'CONFIG'], 'holds no weights'),
    (['CONFIG'], 'give a checkpoint'),
    (['CONFIG', '--cfg-options', 'model.text_encoder=None'], 'no model.text_encoder'),
    (['CONFIG', '--cfg-options', 'model.text_encoder.trainable=qv'], 'trainable=none'),
    (['CONFIG', '--cfg-options', PRETRAINED, 'model.vocabulary=[]'], 'empty'),
    (['CONFIG', '--vocabulary', 'gone.txt', '--cfg-options', PRETRAINED], 'gone.txt'),
    (['CONFIG', '--cfg-options', PRETRAINED, 'model.text_bank.root=None'], '--bank'),
    (['CONFIG', '--bank', 'CONFIG', '--cfg-options', PRETRAINED], 'cannot keep')])
def test_errors_are_clear(config, capsys, args, message):
    args = [str(config) if arg == 'CONFIG' else arg for arg in args]
    assert main(['encode', *args]) == 1
    error, = (line for line in capsys.readouterr().err.splitlines()
              if line.startswith('dcpclip encode: error: '))
    assert message in error


def test_checkpoint_of_another_model(config, tmp_path, capsys):
    torch.save(dict(state_dict={'layer.weight': torch.zeros(2)}), tmp_path / 'o.pth')
    assert main(['encode', str(config), str(tmp_path / 'o.pth')]) == 1
    assert re.search('o.pth.*belongs to another model', capsys.readouterr().err)


def test_pretrained_weights_by_name(config, tmp_path, encode):
    args = ['--bank', tmp_path, '--cfg-options', PRETRAINED]
    assert ', encoded: ' in encode(config, 'none', *args)[0]
    assert ', already there: ' in encode(config, *args)[0]
