"""Models saved and loaded in the form of Hugging Face Hub; no network."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, ModelHubMixin
from mmengine.config import Config
from safetensors.torch import load_file
from toys import WORDS, toy_model_config

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis.portable import from_json, to_json
from mmseg_dcpclip.cli import main

PIPELINE = [dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 48), keep_ratio=True),
            dict(type='PackSegInputs')]


def toy_config(**changes) -> Config:
    model = toy_model_config(**changes)
    for tower in ('backbone', 'text_encoder'):
        model[tower] = dict(model[tower], pretrained='miniworld')
    return Config(dict(model=model, test_pipeline=PIPELINE, work_dir='/home/me',
                       custom_imports=dict(imports=['no_such_module'])))


@pytest.fixture(scope='module')
def predictor():
    """Toy size, with something changed in every part."""
    from mmengine.registry import init_default_scope
    init_default_scope('mmseg')
    torch.manual_seed(3)
    with pytest.warns(UserWarning, match='untrained'):
        predictor = Predictor(toy_config())
    model = predictor.model
    with torch.no_grad():
        model.backbone.blocks[0].attn.q_proj.weight.add_(0.01)
        for parameter in model.decode_head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.set_vocabulary(Vocabulary(['sky', 'sea|ocean', 'sand'],
                                    palette=[[9, 9, 9], [40, 40, 40], [80, 80, 80]]))
    model.test_cfg = dict(mode='slide', crop_size=(32, 32), stride=[16, 16],
                          synonyms='max', background=[0.1, 'fog'])
    return predictor


@pytest.fixture(scope='module')
def saved(predictor, tmp_path_factory):
    """Folders of the toy: everything, and what differs from CLIP."""
    root = tmp_path_factory.mktemp('saved')
    predictor.save_pretrained(root / 'whole')
    predictor.save_pretrained(root / 'delta', delta=True, scores={'mini-20': 12.25})
    return root


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def assert_same(one, other):
    state = other.model.state_dict()
    for key, value in one.model.state_dict().items():
        assert torch.equal(value, state[key]), key
    for words in (None, ['red dots', 'blue stripes']):
        first, second = (p.predict(picture(), words) for p in (one, other))
        assert torch.equal(first.pred_sem_seg.data, second.pred_sem_seg.data)
        assert first.classes == second.classes and first.none_id == second.none_id


@pytest.mark.parametrize('form', ['whole', 'delta'])
def test_what_is_loaded_is_what_was_saved(predictor, saved, form):
    loaded = Predictor.from_pretrained(saved / form, batch_size=2)
    assert isinstance(loaded, ModelHubMixin) and loaded.batch_size == 2
    assert loaded.vocabulary == predictor.vocabulary
    assert np.array_equal(loaded.vocabulary.palette, predictor.vocabulary.palette)
    assert loaded.model.settings == predictor.model.settings
    assert_same(predictor, loaded)
    assert_same(predictor, Predictor(str(saved / form)))


def test_once_more_it_is_the_same(saved, tmp_path):
    Predictor.from_pretrained(saved / 'delta').save_pretrained(tmp_path / 'again',
                                                               delta=True)
    again, first = tmp_path / 'again', saved / 'delta'
    read = [json.loads((path / 'config.json').read_text()) for path in (again, first)]
    assert read[0] == read[1]
    state, expected = (load_file(path / 'model.safetensors') for path in (again, first))
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], value) for key, value in expected.items())


def test_a_delta_holds_what_differs(predictor, saved):
    state = load_file(saved / 'delta' / 'model.safetensors')
    own = {key for key in predictor.model.state_dict()
           if not key.startswith(('backbone.', 'text_encoder.'))}
    assert own | {'backbone.visual.transformer.resblocks.0.attn.q_proj.weight'} == set(
        state)
    whole = load_file(saved / 'whole' / 'model.safetensors')
    assert set(whole) == set(predictor.model.state_dict())


def test_the_config_keeps_its_kinds(predictor, saved):
    """Tuples stay tuples; what belongs to a machine stays there."""
    path = saved / 'whole' / 'config.json'
    config = from_json(json.loads(path.read_text()), str(path))
    assert config.test_pipeline[1].scale == (64, 48)
    assert config.model.test_cfg.crop_size == (32, 32)
    assert config.model.test_cfg.stride == [16, 16]
    assert 'work_dir' not in config
    for key, value in predictor.config.model.items():
        if key != 'vocabulary':
            assert config.model[key] == value
    read = Config.fromfile(path, import_custom_modules=False)
    assert read.model.type == 'DCPCLIP'  # mmengine's tools read it, too


def test_tag_validation_travels(tmp_path):
    with pytest.warns(UserWarning, match='untrained'):
        checked = Predictor(Config(dict(toy_config(), custom_hooks=[
            dict(type='TagValidationHook', seen=[WORDS[0]], top_k=1)])))
    assert checked.model.tag_validation is not None
    checked.save_pretrained(tmp_path / 'm')
    loaded = Predictor.from_pretrained(tmp_path / 'm')
    assert loaded.model.tag_validation == checked.model.tag_validation


def test_classes_become_names(predictor):
    from mmseg.datasets.transforms import PackSegInputs

    from mmseg_dcpclip import models
    config = Config(dict(predictor.config, test_pipeline=[dict(type=PackSegInputs)]))
    config.model.text_encoder.type = models.CLIPTextEncoder
    content = json.loads(json.dumps(to_json(config, predictor.model)))
    assert content['test_pipeline'] == [dict(type='PackSegInputs')]
    assert content['model']['text_encoder']['type'].endswith('CLIPTextEncoder')
    from_json(content, 'config.json')
    config.test_pipeline[0]['fill'] = lambda: 0
    with pytest.raises(ValueError, match='/test_pipeline/./fill is .*lambda'):
        to_json(config, predictor.model)


@pytest.mark.parametrize('kind', ['os.system', 'mmengine.call_command', 'subprocess',
                                  'mmengine.utils.package_utils.call_command', 7])
@pytest.mark.parametrize('place', ['model', 'pipeline', 'hook'])
def test_a_name_stands_for_a_component_only(saved, tmp_path, kind, place):
    """Else a config could run any function that is installed."""
    shutil.copytree(saved / 'delta', tmp_path / 'm')
    path = tmp_path / 'm' / 'config.json'
    content = json.loads(path.read_text())
    bad = dict(type=kind, command=f'touch {tmp_path / "ran"}')
    if place == 'model':
        content['model']['selection'] = bad
    elif place == 'pipeline':
        content['test_pipeline'].insert(1, bad)
    else:
        content['custom_hooks'] = [bad]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f'component {kind!r}, which is not regis'):
        Predictor.from_pretrained(tmp_path / 'm')
    assert not (tmp_path / 'ran').exists()


def test_the_card(saved, tmp_path, predictor):
    card = ModelCard.load(saved / 'delta' / 'README.md')
    data = card.data.to_dict()
    assert data['library_name'] == 'mmseg-dcpclip'
    assert data['pipeline_tag'] == 'image-segmentation'
    assert data['license'] == 'apache-2.0'
    for text in ('| mini-20 | 12.25 |', '`sea|ocean`', "from_pretrained('delta')",
                 '`fog`', '0.1', 'miniworld'):
        assert text in card.text
    assert 'not run' in (saved / 'whole' / 'README.md').read_text()
    rows = [dict(name='mini-59', scores=dict(mIoU=7.0))]
    (tmp_path / 'benchmarks.json').write_text(json.dumps(dict(benchmarks=rows)))
    predictor.save_pretrained(tmp_path, scores=tmp_path / 'benchmarks.json',
                              license='mit')
    card = (tmp_path / 'README.md').read_text()
    assert '| mini-59 | 7.00 |' in card and 'license: mit' in card
    with pytest.warns(UserWarning, match='README.md is there and stays'):
        predictor.save_pretrained(tmp_path)
    assert (tmp_path / 'README.md').read_text() == card


class FakeApi:
    """Keeps what would be uploaded."""

    def __init__(self, *args, **kwargs):
        pass

    def create_repo(self, repo_id, **kwargs):
        return huggingface_hub.RepoUrl(f'https://huggingface.co/{repo_id}')

    def upload_folder(self, *, repo_id, folder_path, **kwargs):
        shutil.copytree(folder_path, FakeApi.hub / repo_id)
        return f'https://huggingface.co/{repo_id}/commit/1'


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder in the place of Hugging Face."""
    def download(repo_id, **options):
        assert options['allow_patterns'] == ['config.json', 'model.safetensors']
        if not (tmp_path / 'hub' / repo_id).is_dir():
            raise OSError('no route')
        return str(tmp_path / 'hub' / repo_id)

    FakeApi.hub = tmp_path / 'hub'
    monkeypatch.setattr('huggingface_hub.hub_mixin.HfApi', FakeApi)
    monkeypatch.setattr('huggingface_hub.HfApi', FakeApi)
    monkeypatch.setattr('mmseg_dcpclip.apis.hub.snapshot_download', download)
    return FakeApi.hub


def test_pushed_and_loaded_by_name(predictor, hub):
    address = predictor.push_to_hub('me/toy', delta=True, scores={'mini-20': 1.0})
    assert address == 'https://huggingface.co/me/toy/commit/1'
    assert "from_pretrained('me/toy')" in (hub / 'me/toy/README.md').read_text()
    assert_same(predictor, Predictor.from_pretrained('me/toy'))
    assert_same(predictor, Predictor('hf-hub:me/toy'))
    with pytest.raises(RuntimeError, match='no folder me/other.*huggingface.co/me/oth'):
        Predictor.from_pretrained('me/other')
    predictor.save_pretrained(hub.parent / 'local', push_to_hub=True, repo_id='me/two')
    assert 'model.safetensors' in {p.name for p in (hub / 'me' / 'two').iterdir()}


def test_a_folder_called_as_a_config(saved, tmp_path, monkeypatch):
    """It counts where it holds a model."""
    monkeypatch.chdir(tmp_path)
    Path('dcpclip_mini_frozen').mkdir()
    assert len(Predictor('dcpclip_mini_frozen').vocabulary) == 171
    shutil.copytree(saved / 'delta', 'dcpclip_mini')
    for load in (Predictor, Predictor.from_pretrained):
        assert len(load('dcpclip_mini').vocabulary) == 3


def test_nothing_is_made_where_saving_is_refused(predictor, hub):
    predictor.config.model.backbone.extra = print
    try:
        with pytest.raises(ValueError, match='/model/backbone/extra'):
            predictor.push_to_hub('me/toy')
    finally:
        del predictor.config.model.backbone['extra']
    assert not hub.exists()


def test_the_command(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    from PIL import Image
    Image.fromarray(picture()).save('p.png')
    weights = 'mmseg_dcpclip://dcpclip_mini'
    assert main(['hub', 'dcpclip_mini', weights, 'm', '--delta', '--push', 'me/m']) == 0
    out = capsys.readouterr().out
    assert 'm/model.safetensors' in out and 'commit/1' in out
    for folder, config in (('a', 'm'), ('b', 'hf-hub:me/m'), ('c', 'dcpclip_mini')):
        assert main(['segment', 'p.png', '--words', 'plain red; blue dots on white',
                     '--config', config, '--out', folder]) == 0
    maps = [Path(folder, 'p_labels.png').read_bytes() for folder in 'abc']
    assert maps[0] == maps[1] == maps[2]
