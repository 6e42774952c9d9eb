"""CLIP towers against open_clip's own model, and every form of weights."""

import json
import warnings

import cv2
import open_clip
import pytest
import torch
import torch.nn.functional as F
from mmengine import Config
from mmseg.registry import MODELS
from safetensors.torch import save_file

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.models import CLIPTextEncoder, CLIPVisionBackbone
from mmseg_dcpclip.models.clip import clip_config, load_clip_weights
from mmseg_dcpclip.models.clip.layers import resize_position_embedding
from mmseg_dcpclip.models.clip.loading import OPENAI_KEYS

CONFIG = dict(
    embed_dim=24,
    vision_cfg=dict(image_size=32, layers=3, width=32, head_width=16, patch_size=8),
    text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=2))


@pytest.fixture(scope='module')
def toy_clip(tmp_path_factory):
    """A tiny CLIP of open_clip's with QuickGELU, its config file and weights."""
    folder = tmp_path_factory.mktemp('clip')
    config = folder / 'toy-ViT.json'
    config.write_text(json.dumps(CONFIG))
    torch.manual_seed(0)
    clip = open_clip.CLIP(**CONFIG, quick_gelu=True).eval()
    weights = folder / 'weights.pt'
    torch.save(clip.state_dict(), weights)
    return clip, str(config), weights


def towers(config, weights, **kwargs):
    options = dict(model_name=config, pretrained=str(weights), quick_gelu=True)
    backbone = CLIPVisionBackbone(out_indices=(0, 1), **options, **kwargs)
    text = CLIPTextEncoder(templates=['{}', 'a photo of a {}.'], **options)
    for tower in (backbone, text):
        tower.init_weights()
        tower.eval()
    return backbone, text


@torch.no_grad()
def test_features_equal_open_clip(toy_clip):
    clip, config, weights = toy_clip
    backbone, text = towers(config, weights)
    images = torch.randn(2, 3, 32, 32)
    features = backbone(images, with_attention=True)
    clip.visual.output_tokens = True
    cls, tokens = clip.visual(images)
    clip.visual.output_tokens = False
    torch.testing.assert_close(features.cls, cls, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(features.patch, tokens @ clip.visual.proj,
                               atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(backbone(images).patch, features.patch)  # both kernels
    assert backbone(images).attention is None

    words = ['cat', 'a rather long name of a category', 'dog']
    tokens = open_clip.get_tokenizer('ViT-B-32')(words)
    torch.testing.assert_close(text(tokens), clip.encode_text(tokens, normalize=True),
                               atol=1e-5, rtol=1e-4)
    assert float(text.logit_scale) == pytest.approx(clip.logit_scale.exp().item())


@torch.no_grad()
def test_shallow_maps_and_attention(toy_clip):
    clip, config, weights = toy_clip
    backbone, _ = towers(config, weights)
    images = torch.randn(2, 3, 32, 32)
    features = backbone(images, with_attention=True)
    x = clip.visual._embeds(images)
    for i in range(2):
        x = clip.visual.transformer.resblocks[i](x)
        expected = x[:, 1:].transpose(1, 2).reshape(2, 32, 4, 4)
        torch.testing.assert_close(features.shallow[i], expected, atol=1e-5, rtol=1e-4)
    block = clip.visual.transformer.resblocks[2]
    normed = block.ln_1(x)
    _, attention = block.attn(normed, normed, normed, need_weights=True)
    torch.testing.assert_close(features.attention, attention[:, 1:, 1:],
                               atol=1e-5, rtol=1e-4)
    assert features.patch_map.shape == (2, 24, 4, 4)


def test_mean_attention_of_the_blocks_before_the_last(toy_clip):
    clip, config, weights = toy_clip
    backbone, _ = towers(config, weights)
    images = torch.randn(3, 3, 24, 40)
    features = backbone(images, with_mean_attention=True)
    tokens = backbone._patches(images)
    x = backbone._embed(tokens, tokens.shape[-2:])
    expected = torch.zeros(3, 15, 15)
    for block in clip.visual.transformer.resblocks[:2]:
        normed = block.ln_1(x)
        expected += block.attn(normed, normed, normed)[1][:, 1:, 1:] / 2
        x = block(x)
    torch.testing.assert_close(features.mean_attention, expected, atol=1e-5, rtol=1e-4)
    assert not features.mean_attention.requires_grad and features.attention is None
    # nothing else changes, and only who asks waits for it
    plain = backbone(images, with_attention=True)
    assert plain.mean_attention is None
    torch.testing.assert_close(features.patch, plain.patch)
    torch.testing.assert_close(features[1:].mean_attention, expected[1:], atol=1e-5,
                               rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('size, grid', [((32, 48), (4, 6)), ((1, 1), (1, 1)),
                                        ((8, 200), (1, 25)), ((33, 30), (4, 4))])
def test_any_size(toy_clip, size, grid):
    backbone, _ = towers(*toy_clip[1:])
    features = backbone(torch.randn(1, 3, *size))
    assert features.grid == grid and features.patch.shape == (1, grid[0] * grid[1], 24)
    assert torch.isfinite(features.patch).all()


def test_input_size_resizes_first(toy_clip):
    backbone, _ = towers(*toy_clip[1:], input_size=(16, 24))
    assert backbone(torch.randn(1, 3, 50, 60)).grid == (2, 3)


def test_position_embedding_keeps_its_own_grid_and_corners():
    table = torch.randn(1 + 16, 6)
    assert resize_position_embedding(table, (4, 4)) is table
    larger = resize_position_embedding(table, (4, 8))
    assert larger.shape == (33, 6)
    torch.testing.assert_close(larger[0], table[0])


def test_positions_of_patches_are_resized_without_that_of_cls():
    table = torch.randn(1 + 16, 3)
    square = table[1:].view(4, 4, 3).numpy()
    resized = cv2.resize(square, (9, 6), interpolation=cv2.INTER_CUBIC)
    found = resize_position_embedding(table, (6, 9))
    torch.testing.assert_close(found[0], table[0])
    torch.testing.assert_close(found[1:].view(6, 9, 3), torch.from_numpy(resized),
                               atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize('form', ['safetensors', 'state_dict', 'module', 'openai',
                                  'torchscript', 'custom_text', 'half'])
def test_forms_of_weights(toy_clip, tmp_path, form):
    clip, config, _ = toy_clip
    state = clip.state_dict()
    path = tmp_path / 'weights.pt'
    if form == 'safetensors':
        path = tmp_path / 'weights.safetensors'
        save_file({k: v.clone() for k, v in state.items()}, path)
    elif form == 'state_dict':
        torch.save(dict(state_dict=state, epoch=3), path)
    elif form == 'module':
        torch.save({f'module.{k}': v for k, v in state.items()}, path)
    elif form == 'openai':
        torch.save({**state, **{k: torch.tensor(1) for k in OPENAI_KEYS}}, path)
    elif form == 'torchscript':
        class Archive(torch.nn.Module):

            def __init__(self):
                super().__init__()
                self.visual = clip.visual
                self.transformer = clip.transformer
                self.token_embedding = clip.token_embedding
                self.positional_embedding = clip.positional_embedding
                self.ln_final = clip.ln_final
                self.text_projection = clip.text_projection
                self.logit_scale = clip.logit_scale
                for key in OPENAI_KEYS:
                    self.register_buffer(key, torch.tensor(1))

            def forward(self, x):
                return self.ln_final(x)

        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.jit.trace(Archive(), torch.randn(1, 16)).save(str(path))
    elif form == 'custom_text':
        text = ('transformer', 'token', 'positional', 'ln_final', 'text_proj')
        torch.save({(f'text.{k}' if k.startswith(text) else k): v
                    for k, v in state.items()}, path)
    elif form == 'half':
        torch.save({k: v.half() for k, v in state.items()}, path)
    weights = load_clip_weights(config, str(path))
    # OpenAI's form needs QuickGELU; of the others only the config could tell
    assert weights.quick_gelu == (form in ('openai', 'torchscript'))
    assert weights.logit_scale == pytest.approx(clip.logit_scale.exp().item(), rel=1e-3)
    backbone = CLIPVisionBackbone(config, str(path), out_indices=(1, ))
    backbone.init_weights()
    torch.testing.assert_close(backbone.visual.proj, clip.visual.proj,
                               atol=1e-3 if form == 'half' else 0, rtol=0)
    assert bool(backbone.quick_gelu) == weights.quick_gelu


def test_quick_gelu_comes_back_with_a_checkpoint(toy_clip):
    _, config, weights = toy_clip
    backbone, text = towers(config, weights)
    images = torch.randn(1, 3, 32, 32)
    other = CLIPVisionBackbone(config, out_indices=(0, 1)).eval()
    assert not bool(other.quick_gelu)
    other.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(other(images).patch, backbone(images).patch)
    other_text = CLIPTextEncoder(config, templates=['{}']).eval()
    other_text.load_state_dict(text.state_dict())
    tokens = text.tokenize(['cat'])
    torch.testing.assert_close(other_text(tokens), text(tokens))


def test_a_tag_knows_its_activation():
    from open_clip.pretrained import get_pretrained_cfg
    # what load_clip_weights relies on, without loading
    assert get_pretrained_cfg('ViT-B-16', 'openai').get('quick_gelu')
    assert not get_pretrained_cfg('ViT-B-16', 'laion2b_s34b_b88k').get('quick_gelu')


def test_bad_weights(toy_clip, tmp_path):
    _, config, weights = toy_clip
    with pytest.raises(FileNotFoundError, match='nowhere.pt'):
        load_clip_weights('ViT-B-16', str(tmp_path / 'nowhere.pt'))
    with pytest.raises(ValueError, match='laion2b'):
        load_clip_weights('ViT-B-16', 'no_such_tag')
    torn = tmp_path / 'torn.pt'
    torn.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match='torn.pt'):
        load_clip_weights(config, str(torn))
    other = tmp_path / 'other.pt'
    torch.save({'layer.weight': torch.zeros(2)}, other)
    with pytest.raises(ValueError, match='no CLIP weights'):
        load_clip_weights(config, str(other))
    backbone = CLIPVisionBackbone('mini-ViT-8', str(weights), out_indices=(1, 3))
    with pytest.raises(ValueError, match='another model'):
        backbone.init_weights()


def test_weights_that_cannot_be_had_name_the_remedy(monkeypatch, tmp_path):
    def no_network(config):
        raise OSError('no route')

    monkeypatch.setattr('mmseg_dcpclip.models.clip.published.download_pretrained',
                        no_network)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(RuntimeError, match="'openai' of ViT-B-16") as caught:
        load_clip_weights('ViT-B-16', 'openai')
    assert 'https://huggingface.co/timm/vit_base_patch16_clip_224.openai' in str(
        caught.value)
    folder = tmp_path / 'models--timm--vit_base_patch16_clip_224.openai'
    assert str(caught.value).endswith(f"to {folder / 'snapshots' / 'main'}")
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['ViT-Z-99', 'RN50', 'coca_ViT-B-32', 'missing.json'])
def test_models_that_do_not_fit(name):
    with pytest.raises(ValueError, match=name.split('.')[0]):
        clip_config(name)


def test_what_is_trained(toy_clip):
    backbone, _ = towers(*toy_clip[1:])
    trained = [n for n, p in backbone.named_parameters() if p.requires_grad]
    names = {name.split('.')[-2] for name in trained}
    assert names == {'q_proj', 'v_proj'}
    assert sum(p.numel() for p in backbone.parameters() if p.requires_grad) == (
        3 * 2 * 32 * 32)
    options = dict(model_name='mini-ViT-8', out_indices=(1, 3))
    for trainable, share in (('none', 0), ('all', 1)):
        tower = CLIPVisionBackbone(trainable=trainable, **options)
        flags = [p.requires_grad for p in tower.parameters()]
        assert sum(flags) == share * len(flags)
    with pytest.raises(ValueError, match='trainable'):
        CLIPVisionBackbone(trainable='some', **options)


# ------------------------------------------------- learning rates by depth

def test_layer_depth():
    backbone = CLIPVisionBackbone('mini-ViT-8', out_indices=(1, 3), trainable='all')
    depths = {name: backbone.get_layer_depth(name)
              for name, _ in backbone.named_parameters()}
    assert {number for _, number in depths.values()} == {7}  # five blocks
    for name, (depth, _) in depths.items():
        assert backbone.get_layer_depth(f'backbone.{name}', 'backbone.')[0] == depth
        assert depth == next((i + 1 for i in range(5) if f'resblocks.{i}.' in name),
                             6 if 'ln_post' in name or name == 'visual.proj' else 0)
    assert backbone.get_layer_depth('decode_head.conv.weight', 'backbone.') == (6, 7)
    assert len({depth for depth, _ in depths.values()}) == 7


def test_layer_wise_learning_rates_of_mmpretrain():
    """By mmpretrain's constructor, which asks the model, as its classifiers do."""
    from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
    model = MODELS.build(stock_config('FCNHead', 'all'))
    model.get_layer_depth = lambda name: model.backbone.get_layer_depth(
        name, 'backbone.')
    build = LearningRateDecayOptimWrapperConstructor(
        dict(optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05)),
        dict(layer_decay_rate=0.5))
    groups = build(model).param_groups
    rates = {group['param_name']: group['lr'] for group in groups if group['params']}
    assert set(rates) == {n for n, p in model.named_parameters() if p.requires_grad}
    assert rates['backbone.visual.conv1.weight'] == 0.5**6
    assert rates['backbone.visual.positional_embedding'] == 0.5**6
    for i in range(4):
        name = f'backbone.visual.transformer.resblocks.{i}.attn.k_proj.weight'
        assert rates[name] == 0.5**(5 - i)
    assert rates['decode_head.conv_seg.weight'] == 1


# ------------------------------------------------------------------ stock heads

HEADS = {
    'FCNHead': dict(type='FCNHead', in_channels=128, in_index=-1),
    'UPerHead': dict(type='UPerHead', in_channels=[128] * 4, in_index=[0, 1, 2, 3]),
    'SegformerHead': dict(type='SegformerHead', in_channels=[128] * 4,
                          in_index=[0, 1, 2, 3]),
}


def stock_config(head, trainable):
    return Config(dict(cfg=dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32)),
        backbone=dict(type='CLIPVisionBackbone', model_name='mini-ViT-8', plain=True,
                      trainable=trainable, out_indices=(0, 1, 2, 3)),
        decode_head=dict(
            **HEADS[head], channels=8, num_classes=5, norm_cfg=dict(type='BN'),
            loss_decode=dict(type='CrossEntropyLoss')),
        test_cfg=dict(mode='whole')))).cfg


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('trainable', ['qv', 'all'])
def test_stock_encoder_decoder(head, trainable):
    from toys import assert_all_gradients, toy_samples
    model = MODELS.build(stock_config(head, trainable))
    data = model.data_preprocessor(toy_samples([(32, 32)] * 2), True)
    maps = model.extract_feat(data['inputs'])
    assert isinstance(maps, tuple) and [m.shape for m in maps] == [(2, 128, 4, 4)] * 4
    model.parse_losses(model(**data, mode='loss'))[0].backward()
    assert_all_gradients(model.backbone)
    result = model.eval().predict(data['inputs'], data['data_samples'])
    assert result[0].pred_sem_seg.data.shape == (1, 32, 32)


# ------------------------------------------------------------------------- text

def test_encode_averages_synonyms_and_keeps_the_order(toy_clip):
    _, text = towers(*toy_clip[1:])
    text.chunk_size = 3  # chunks of mixed lengths
    vocabulary = Vocabulary(['cat', 'a dog with a long tail|puppy', 'sky'])
    with torch.no_grad():
        result = text.encode(vocabulary)
        assert result.shape == (3, 2, 24)
        for c, words in enumerate(vocabulary.synonyms):
            for p, template in enumerate(text.templates):
                prompts = [template.format(word) for word in words]
                single = [text(text.tokenize([prompt])) for prompt in prompts]
                expected = F.normalize(torch.cat(single).mean(0), dim=-1)
                torch.testing.assert_close(result[c, p], expected, atol=1e-5, rtol=1e-4)


def test_long_and_foreign_words():
    text = CLIPTextEncoder('mini-ViT-8', templates=['{}'])
    with pytest.warns(UserWarning, match='cut to 75'):
        tokens = text.tokenize(['very ' * 100 + 'long'])
    assert tokens.shape == (1, 77)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        tokens = text.tokenize(['собака', '犬', '🐶', 'chien'])
    assert len({tuple(row.tolist()) for row in tokens}) == 4
    assert torch.isfinite(text(tokens)).all()


@pytest.mark.parametrize('templates', ['many', [], ['no place'], ['{} and {}'], [3]])
def test_bad_templates(templates):
    with pytest.raises(ValueError, match='template'):
        CLIPTextEncoder('mini-ViT-8', templates=templates)


def test_eighty_templates():
    from mmseg_dcpclip.models.text_encoders.templates import get_templates
    assert len(set(get_templates('imagenet'))) == 80
    assert 'a bad photo of a {}.' in get_templates('imagenet')
