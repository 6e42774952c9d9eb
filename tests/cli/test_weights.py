import shutil

import pytest

from mmseg_dcpclip import catalogue
from mmseg_dcpclip.cli import main
from mmseg_dcpclip.models.clip import published

REPOSITORY = 'models--timm--vit_base_patch16_clip_224.openai'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a copy of OpenAI's ViT-B/16 belongs, on an empty machine."""
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('COLUMNS', '200')
    return tmp_path / REPOSITORY / 'snapshots' / 'main'


def fetched(folder):
    folder.mkdir(parents=True)
    path = folder / 'open_clip_model.safetensors'
    shutil.copy(catalogue.CLIP_WEIGHTS['mini-ViT-8', 'miniworld'], path)
    return path


def row_of(out, *words):
    row, = (line for line in out.splitlines()
            if all(f' {word} ' in line for word in words))
    return [cell.strip() for cell in row.strip('│').split('│')]


def test_list(folder, capsys):
    fetched(folder)
    assert main(['weights', 'ViT-B-16']) == 0
    out = capsys.readouterr().out
    assert row_of(out, 'openai') == ['ViT-B-16', 'openai', 'QuickGELU', 'yes']
    assert row_of(out, 'laion2b_s34b_b88k')[2:] == ['GELU', '-']
    assert 'ViT-L-14' not in out
    assert main(['weights']) == 0
    assert row_of(capsys.readouterr().out, 'ViT-L-14', 'openai')[3] == '-'


@pytest.mark.parametrize('words', [
    ('ViT-B-16', 'openai'), ('dcpclip_vitb16_frozen', )])
def test_where_to_get_and_to_copy(folder, capsys, words):
    assert main(['weights', *words]) == 1
    out = capsys.readouterr().out
    assert out.startswith('ViT-B-16 openai: QuickGELU\n')
    assert f'copy to {folder}\n' in out
    assert out.count('copy to') == 2  # Hugging Face's and OpenAI's
    path = fetched(folder)
    assert main(['weights', *words]) == 0
    out = capsys.readouterr().out
    assert f'here: {path}\n' in out
    assert 'none is known' in out


def test_fetch(folder, capsys, monkeypatch):
    monkeypatch.setattr(published, 'download_pretrained',
                        lambda config: fetched(folder))
    assert main(['weights', 'dcpclip_vitb16_frozen', '--fetch']) == 0
    assert f'here: {folder}' in capsys.readouterr().out
    assert main(['weights', 'ViT-B-16', '--fetch']) == 1
    assert 'name a tag' in capsys.readouterr().err


def test_config_with_weights_of_the_package(folder, capsys):
    assert main(['weights', 'dcpclip_mini']) == 0
    assert 'mini_vit_8.safetensors' in capsys.readouterr().out


@pytest.mark.parametrize('words, said', [
    (['ViT-Z-99'], "'ViT-Z-99' is no model of open_clip that fits"),
    (['ViT-B-16', 'nothing'], "no pretrained weights 'nothing'"),
    (['ViT-B-16', 'hf-hub:thing'], 'expected hf-hub:ORG/NAME'),
    (['dcpclip_mini', '--cfg-options', 'model.backbone.pretrained=None',
      'model.text_encoder.pretrained=None'], 'names no weights')])
def test_bad_words(folder, capsys, words, said):
    assert main(['weights', *words]) == 1
    assert said in capsys.readouterr().err
