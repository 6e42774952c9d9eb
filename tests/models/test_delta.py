"""Weights without CLIP's own, on every route that reads weights."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import load_checkpoint
from mmseg.apis import init_model
from mmseg.registry import MODELS
from safetensors import safe_open
from toys import toy_model_config

from mmseg_dcpclip import Predictor, catalogue
from mmseg_dcpclip.models.delta import clip_sources, complete, header_of, without_clip
from mmseg_dcpclip.models.weight_routes import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / 'configs' / 'dcpclip_mini.py')
SHIPPED = 'mmseg_dcpclip://dcpclip_mini'


def model_of(**towers):
    config = toy_model_config(neck=None, decode_head=dict(type='CosineHead'))
    for part, changes in towers.items():
        config[part] = dict(config[part], **changes)
    model = MODELS.build(config)
    model.load_clip()
    return model


def test_the_shipped_weights_on_every_route():
    expected = read_checkpoint(SHIPPED)['state_dict']
    own = Predictor.from_pretrained('dcpclip_mini').model.state_dict()
    by_path = Predictor(CONFIG).model.state_dict()
    mmsegs = init_model(CONFIG, SHIPPED, device='cpu').state_dict()
    mmengines = MODELS.build(Predictor(CONFIG).config.model)
    load_checkpoint(mmengines, str(catalogue.TRAINED_WEIGHTS['dcpclip_mini']))
    for state in (own, by_path, mmsegs, mmengines.state_dict()):
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], value) for key, value in expected.items())
    bare = Predictor('dcpclip_mini_frozen').model.state_dict()
    with pytest.warns(UserWarning, match='untrained'):
        untrained = Predictor('dcpclip_mini', 'none').model.state_dict()
    for key, value in bare.items():
        if key.startswith('text_encoder.') or key == 'backbone.visual.proj':
            assert torch.equal(own[key], value)
    assert not torch.equal(own['neck.cost_conv.weight'],
                           untrained['neck.cost_conv.weight'])


def test_the_shipped_file_is_small_and_holds_what_was_trained():
    path = catalogue.TRAINED_WEIGHTS['dcpclip_mini']
    assert path.stat().st_size < 4e6
    with safe_open(path, 'pt') as file:
        parts = {key.split('.')[0] for key in file.keys()}
        assert parts == {'backbone', 'neck', 'decode_head'}
        assert all('q_proj' in key or 'v_proj' in key for key in file.keys()
                   if key.startswith('backbone'))
    assert [source['part'] for source in header_of(path)] == ['backbone',
                                                              'text_encoder']


@pytest.mark.parametrize('towers', [
    dict(backbone=dict(pretrained='miniworld'),
         text_encoder=dict(pretrained='miniworld', trainable='qv', quick_gelu=True)),
    dict(backbone=dict(pretrained='miniworld-cls', quick_gelu=True)),
    dict(text_encoder=dict(pretrained='miniworld'))])
def test_what_was_left_out_comes_back(towers):
    model = model_of(**towers)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1e-3)
    state, sources = without_clip(model)
    changed = {key for key, value in model.named_parameters() if value.requires_grad}
    assert changed <= set(state)
    random = {part for part in ('backbone', 'text_encoder')
              if not towers.get(part, {}).get('pretrained')}
    for key in set(state) - changed:
        part = key.partition('.')[0]
        assert part in random or part not in ('backbone', 'text_encoder'), key
    whole = complete(state, json.loads(json.dumps(sources)))
    assert whole.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(whole[key], value), key


def test_what_others_do_not_have_is_not_left_out():
    weights = str(catalogue.CLIP_WEIGHTS['mini-ViT-8', 'miniworld'])
    with pytest.raises(ValueError, match=f'the file {weights}.*backbone.pretrained'):
        clip_sources(model_of(backbone=dict(pretrained=weights)))
    with pytest.raises(ValueError, match='no part of the model'):
        clip_sources(model_of())


def test_unknown_shipped_weights():
    with pytest.raises(ValueError, match=f'no trained weights .*; there are {SHIPPED}'):
        read_checkpoint('mmseg_dcpclip://dcpclip_mni')


def test_a_copy_of_a_config_has_no_weights(tmp_path):
    """Its name says nothing: it may have been changed."""
    path = tmp_path / 'dcpclip_mini.py'
    path.write_text(f'_base_ = {CONFIG!r}')
    with pytest.warns(UserWarning, match='untrained'):
        Predictor(path)
