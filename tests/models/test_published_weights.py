"""Weights found by name in folders laid out as those of huggingface_hub and open_clip;
the network is cut."""

import hashlib
import json
import shutil

import open_clip
import pytest
import torch

from mmseg_dcpclip import catalogue
from mmseg_dcpclip.models.clip import load_clip_weights
from mmseg_dcpclip.models.clip import published as module
from mmseg_dcpclip.models.clip.loading import (
    clip_config,
    fitting_weights,
    wants_quick_gelu,
)
from mmseg_dcpclip.models.clip.published import HUB_FILES, tag_weights

OPENAI = 'timm/vit_base_patch16_clip_224.openai'
LAION = 'laion/CLIP-ViT-B-16-laion2B-s34B-b88K'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty machine without network; its folder of Hugging Face."""
    def no_network(*args, **kwargs):
        raise OSError('no route')

    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setattr(module, 'download_pretrained', no_network)
    monkeypatch.setattr(module, 'hf_hub_download', no_network)
    return tmp_path / 'hub'


def mini():
    return catalogue.CLIP_WEIGHTS['mini-ViT-8', 'miniworld']


def folder_of(cache, repository):
    return cache / f"models--{repository.replace('/', '--')}"


def copied(cache, repository, name=HUB_FILES[0], config=None):
    """Weights copied by hand; their path."""
    folder = folder_of(cache, repository) / 'snapshots' / 'main'
    folder.mkdir(parents=True)
    shutil.copy(mini(), folder / name)
    if config is not None:
        (folder / 'open_clip_config.json').write_text(json.dumps(config))
    return folder / name


def downloaded(cache, repository):
    """Weights as huggingface_hub leaves them: a link to a blob named by its SHA-256."""
    folder = folder_of(cache, repository)
    blob = folder / 'blobs' / hashlib.sha256(mini().read_bytes()).hexdigest()
    path = folder / 'snapshots' / ('0' * 40) / HUB_FILES[0]
    for one in (blob, path, folder / 'refs' / 'main'):
        one.parent.mkdir(parents=True)
    shutil.copy(mini(), blob)
    path.symlink_to(blob)
    (folder / 'refs' / 'main').write_text('0' * 40)
    return path


@pytest.mark.parametrize('name', HUB_FILES)
@pytest.mark.parametrize('tag, repository, quick', [
    ('openai', OPENAI, True), ('laion2b_s34b_b88k', LAION, False)])
def test_a_copy_by_hand_is_the_tag(cache, tag, repository, quick, name):
    path = copied(cache, repository)
    if name != path.name:  # in the other form
        from safetensors.torch import load_file
        torch.save(load_file(path), path.with_name(name))
        path.unlink()
    weights = load_clip_weights('ViT-B-16', tag)
    assert weights.quick_gelu is quick
    right = load_clip_weights('mini-ViT-8', 'miniworld')
    assert set(weights.visual) == set(right.visual)
    for key, value in right.visual.items():
        torch.testing.assert_close(weights.visual[key], value, rtol=0, atol=0)


def test_a_download_is_found_and_checked(cache):
    path = downloaded(cache, OPENAI)
    source = tag_weights('ViT-B-16', 'openai')
    assert source.find() == path
    assert source.verify(path)
    assert load_clip_weights('ViT-B-16', 'openai').quick_gelu
    with path.resolve().open('ab') as file:
        file.write(b'more')
    with pytest.raises(ValueError, match="not the file of 'openai' of ViT-B-16"):
        source.verify(path)


def test_a_copy_beside_a_download_of_something_else(cache):
    """`refs/main` is there, but the weights are where a hand put them."""
    downloaded(cache, OPENAI).unlink()
    folder = folder_of(cache, OPENAI) / 'snapshots' / 'main'
    folder.mkdir()
    shutil.copy(mini(), folder / HUB_FILES[0])
    source = tag_weights('ViT-B-16', 'openai')
    assert source.find() == folder / HUB_FILES[0]
    assert not source.verify(folder / HUB_FILES[0])


def test_file_of_the_url(cache, tmp_path, monkeypatch):
    source = tag_weights('ViT-B-16', 'openai')
    path = tmp_path / '.cache' / 'clip' / 'ViT-B-16.pt'
    path.parent.mkdir(parents=True)
    shutil.copy(mini(), path)
    assert source.find() == path
    with pytest.raises(ValueError, match=rf'{path} is not the file of .* 5806e77c;'):
        load_clip_weights('ViT-B-16', 'openai')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED['ViT-B-16'], 'openai', dict(
        url=f'https://openaipublic.azureedge.net/clip/models/{digest}/ViT-B-16.pt',
        quick_gelu=True))
    assert tag_weights('ViT-B-16', 'openai').verify(path)
    assert load_clip_weights('ViT-B-16', 'openai').quick_gelu


@pytest.mark.parametrize('model, tag, expected', [
    ('ViT-B-16', 'openai',
     '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f'),
    ('ViT-B-16', 'laion400m_e32', '55e67d44'), ('ViT-B-16', 'metaclip_400m', ''),
    ('ViT-B-16', 'laion2b_s34b_b88k', '')])
def test_checksums_of_the_list(model, tag, expected):
    assert tag_weights(model, tag).expected == expected


@pytest.mark.parametrize('config, quick', [
    (dict(model_cfg=dict(quick_gelu=True)), True),
    (dict(model_cfg=dict(embed_dim=8)), False)])
def test_hugging_face_name(cache, config, quick):
    copied(cache, 'some/thing', config=config)
    assert load_clip_weights('mini-ViT-8', 'hf-hub:some/thing').quick_gelu is quick


def test_hugging_face_name_of_a_tag(cache):
    copied(cache, OPENAI)
    assert load_clip_weights('ViT-B-16', f'hf-hub:{OPENAI}').quick_gelu
    folder = folder_of(cache, OPENAI) / 'snapshots' / 'main'
    (folder / 'open_clip_config.json').write_text('{"model_cfg": {"embed_dim": 8}}')
    assert load_clip_weights('ViT-B-16', f'hf-hub:{OPENAI}').quick_gelu
    (folder / 'open_clip_config.json').write_text('[')
    with pytest.raises(ValueError, match='open_clip_config.json is no config'):
        load_clip_weights('ViT-B-16', f'hf-hub:{OPENAI}')


def test_hugging_face_name_that_nobody_knows(cache):
    with pytest.raises(RuntimeError, match='https://huggingface.co/some/thing'):
        load_clip_weights('mini-ViT-8', 'hf-hub:some/thing')
    copied(cache, 'some/thing')
    with pytest.raises(ValueError, match="'hf-hub:some/thing'.*quick_gelu=True or"):
        load_clip_weights('mini-ViT-8', 'hf-hub:some/thing')
    assert load_clip_weights('mini-ViT-8', 'hf-hub:some/thing', True).quick_gelu
    with pytest.raises(ValueError, match='expected hf-hub:ORG/NAME'):
        load_clip_weights('mini-ViT-8', 'hf-hub:thing')


def test_activation_of_a_file(cache, tmp_path):
    """A name that all files of Hugging Face have says nothing."""
    assert load_clip_weights('ViT-B-16', str(copied(cache, OPENAI))).quick_gelu
    assert not load_clip_weights('ViT-B-16', str(copied(cache, LAION))).quick_gelu
    assert load_clip_weights('ViT-B-16', str(downloaded(
        cache, 'apple/DFN2B-CLIP-ViT-B-16').resolve())).quick_gelu
    metaclip = shutil.copy(mini(), tmp_path / 'b16_400m.pt')
    assert load_clip_weights('ViT-B-16', str(metaclip)).quick_gelu
    own = shutil.copy(mini(), tmp_path / 'epoch_32.pt')
    assert not load_clip_weights('ViT-B-16', str(own)).quick_gelu
    bare = shutil.copy(mini(), tmp_path / HUB_FILES[0])
    with pytest.raises(ValueError, match=f'{bare}: nothing says'):
        load_clip_weights('ViT-B-16', str(bare))
    assert load_clip_weights('ViT-B-16-quickgelu', str(bare)).quick_gelu
    assert not load_clip_weights('ViT-B-16', str(bare), False).quick_gelu
    (tmp_path / 'open_clip_config.json').write_text('{"model_cfg": {}}')
    assert not load_clip_weights('ViT-B-16', str(bare)).quick_gelu


def test_all_that_fit():
    rows = fitting_weights()
    assert ('ViT-B-16', 'openai') in [row[:2] for row in rows]
    for model, _, source in rows:
        clip_config(model)
        assert source.ways
        # an activation that the model asks for is one that the weights have
        assert source.quick_gelu or not wants_quick_gelu(model)
    assert not {'RN50', 'coca_ViT-B-32'} & {row[0] for row in rows}
