"""Exported models against the models: labels, words, options, refusals."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.utils import digit_version
from torch import nn
from toys import toy_model_config

from mmseg_dcpclip import OnnxPredictor, Predictor, Vocabulary
from mmseg_dcpclip.apis import export_model
from mmseg_dcpclip.apis.export import OLDEST, _quiet, check_exportable
from mmseg_dcpclip.apis.export_check import compare
from mmseg_dcpclip.apis.word_files import WordEmbeddings, read_words, write_words
from mmseg_dcpclip.cli import main
from mmseg_dcpclip.models.segmentors.static import StaticDCPCLIP
from mmseg_dcpclip.models.selection import DynamicCategorySelection
from mmseg_dcpclip.models.structures import CLIPFeatures, TextEmbeddings

pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
if digit_version(torch.__version__) < digit_version(OLDEST):
    pytest.skip(f'exports need torch {OLDEST}', allow_module_level=True)

MANY = [f'{a} {b}' for a in ('red', 'blue', 'green') for b in ('dots', 'bars', 'grid')]
OTHERS = Vocabulary(['a cat', 'a dog|a puppy', 'grass'])
PICTURES = [np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
            for seed, size in enumerate([(32, 48), (34, 46), (31, 50)])]
SIZE = (32, 48)  # theirs in whole patches; one size exports faster
SMALL = dict(
    embed_dim=32, vision_cfg=dict(image_size=32, layers=2, width=64, head_width=32,
                                  patch_size=8),
    text_cfg=dict(context_length=77, vocab_size=49408, width=32, heads=1, layers=1))


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with a small CLIP."""
    folder = tmp_path_factory.mktemp('export')
    (folder / 'small.json').write_text(json.dumps(SMALL))
    return folder


def config_of(place, **changes) -> Config:
    clip = dict(model_name=str(place / 'small.json'), pretrained=None)
    model = toy_model_config(vocabulary=MANY, text_bank=dict(root=None))
    model['backbone'] = dict(type='CLIPVisionBackbone', out_indices=(0, ), **clip)
    model['text_encoder'] |= clip
    model['neck'] = dict(type='TextGuidedAlignment', cost_dims=8, mlp_ratio=1)
    model['decode_head'] = dict(
        type='SpatialEnhancedDecoder', num_layers=1, window_size=3, attention_grid=4,
        similarity_dims=(4, ), guidance_dims=(6, ), skip_dims=(4, ), num_heads=(2, ),
        mlp_ratio=1)
    model.update(changes)
    return Config(dict(model=model, test_pipeline=[
        dict(type='LoadImageFromFile'), dict(type='PictureAsSeen'),
        dict(type='LimitSize', max_side=48), dict(type='LoadWideAnnotations'),
        dict(type='PackSegInputs')]))


def frozen_config(place, read_out='plain', **changes) -> Config:
    config = config_of(
        place, neck=None, decode_head=dict(
            type='CosineHead', scale=40., bias=0., activation='softmax',
            trainable=False),
        test_cfg=dict(mode='slide', crop_size=(32, 32), stride=(16, 16),
                      global_view=True, synonyms='max'), **changes)
    config.model.backbone.read_out = read_out
    return config


def predictor_of(place, config: Config) -> Predictor:
    """With weights of a seed, which are also a file."""
    torch.manual_seed(0)
    predictor = Predictor(config)
    predictor.model.init_weights()
    torch.save(predictor.model.state_dict(), place / 'weights.pth')
    return predictor


@pytest.fixture(scope='module')
def trained(place):
    """Neck and decoder, one size, whole pictures; and the model."""
    predictor = predictor_of(place, config_of(place))
    files = export_model(predictor.model, predictor.config, place / 'trained',
                         max_selected=9, size=SIZE, vocabularies=[OTHERS])
    assert [path.name for path in files] == ['model.onnx', 'model.json', 'words.npz']
    assert sorted((place / 'trained').iterdir()) == sorted(files)
    return predictor, OnnxPredictor(place / 'trained', threads=1)


@pytest.mark.parametrize('words', [Vocabulary(MANY[:1]), Vocabulary(MANY), OTHERS],
                         ids=len)
def test_equals_the_model(trained, words):
    parity = compare(*trained, PICTURES, words)
    assert parity.holds, parity
    assert (parity.pictures, parity.words, parity.full) == (3, len(words), 0)


@pytest.mark.parametrize('options', [
    dict(return_scores=True), dict(background=0.45, return_scores=True),
    dict(background=[0.3, 'a cat'])], ids=str)
def test_options(trained, options):
    for own, other in zip(*(p.predict(PICTURES, **options) for p in trained)):
        assert own.none_id == other.none_id and own.classes == other.classes
        assert own.selected_categories == other.selected_categories
        different = own.pred_sem_seg.data != other.pred_sem_seg.data
        assert different.float().mean() < 0.01  # ties
        assert other.pred_sem_seg.data.dtype == torch.int64
        if 'return_scores' in options:
            for key in ('ids', 'scores', 'maps'):
                torch.testing.assert_close(own.word_scores[key], other.word_scores[key],
                                           atol=1e-4, rtol=1e-4)
            assert own.word_scores.names == other.word_scores.names
    drawn = trained[1].draw(PICTURES[-1], other)
    assert drawn.size == trained[0].draw(PICTURES[-1], own).size


def test_words(place, trained):
    """From a file of their own, by PyTorch, or refused with the remedy."""
    predictor, other = trained
    new = Vocabulary(['a fish', 'a cat'])
    with pytest.raises(ValueError, match='1 of 2 categories.*a fish.*--npz FILE'):
        other.predict(PICTURES[0], new)
    wanted = predictor.predict(PICTURES[0], new).pred_sem_seg.data
    predictor.config.dump(place / 'trained.py')
    assert main(['encode', str(place / 'trained.py'), str(place / 'weights.pth'),
                 '--vocabulary', _file(place, new), '--bank', str(place / 'bank'),
                 '--npz', str(place / 'new.npz')]) == 0
    for options in (dict(words=[place / 'new.npz']),
                    dict(config=predictor.config, checkpoint=place / 'weights.pth')):
        found = OnnxPredictor(place / 'trained', **options).predict(PICTURES[0], new)
        assert (found.pred_sem_seg.data == wanted).float().mean() > 0.99
    foreign = read_words(place / 'new.npz')
    write_words(place / 'foreign.npz', WordEmbeddings(
        foreign.entries, foreign.mean, foreign.templates, 'another'))
    with pytest.raises(ValueError, match='foreign.npz holds embeddings of another'):
        OnnxPredictor(place / 'trained', words=[place / 'foreign.npz'])


def _file(place, words: Vocabulary) -> str:
    path = place / 'words.txt'
    path.write_text('\n'.join('|'.join(entry) for entry in words.synonyms))
    return str(path)


def test_without_torch(place, trained):
    """Numpy, Pillow and onnxruntime are enough."""
    wanted = trained[1].predict(PICTURES[1]).pred_sem_seg.data.numpy()
    np.save(place / 'picture.npy', PICTURES[1])
    code = (
        'import sys\n'
        'for name in ("torch", "mmseg", "mmengine", "mmcv", "matplotlib"):\n'
        '    sys.modules[name] = None\n'
        'import numpy as np\n'
        'from mmseg_dcpclip import OnnxPredictor\n'
        f'predictor = OnnxPredictor({str(place / "trained")!r}, samples=False)\n'
        f'found = predictor.predict(np.load({str(place / "picture.npy")!r}))\n'
        f'np.save({str(place / "found.npy")!r}, found.pred_sem_seg.data)\n')
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)
    assert (np.load(place / 'found.npy') == wanted).mean() > 0.99


def test_command_and_windows(place, capsys):
    """Frozen, windows of one size, synonyms apart; checked by the command itself."""
    config = frozen_config(place, 'procrustes', selection=dict(form='purify'))
    predictor_of(place, config)
    config.dump(place / 'frozen.py')
    out = place / 'frozen'
    assert main(['export', str(place / 'frozen.py'), str(place / 'weights.pth'),
                 str(out), '--size', '32', '32', '--check', '2', '--vocabulary',
                 _file(place, OTHERS)]) == 0
    assert 'onnxruntime' in capsys.readouterr().out
    about = json.loads((out / 'model.json').read_text())
    assert about['inputs'] == ['pictures', 'mean', 'first']
    assert about['views'] == dict(mode='slide', crop_size=[32, 32], stride=[16, 16],
                                  global_view=True)
    assert about['classes'] == [[name] for name in MANY]
    with pytest.raises(ValueError, match='takes 32 x 32 pixels and gets 16 x 32'):
        OnnxPredictor(out).predict(np.zeros((24, 60, 3), np.uint8))


def test_open_sizes_and_more_words_than_the_graph_takes(place):
    """Pictures smaller and larger than any it was recorded by; of 9 words 3."""
    config = frozen_config(place, 'self_calibrated', selection=dict(
        form='votes', num_kept=6, max_categories=4))
    config.model.test_cfg = dict(mode='whole')
    predictor = predictor_of(place, config)
    export_model(predictor.model, config, place / 'open', max_selected=3)
    found = compare(predictor, OnnxPredictor(place / 'open', threads=1), PICTURES + [
        np.zeros((9, 6, 3), np.uint8), PICTURES[0][:16].repeat(3, 1)], Vocabulary(MANY))
    assert found.holds and found.full == found.pictures == 5, found


class Selecting(nn.Module):
    """A selection by what it reads."""

    def __init__(self, selection):
        super().__init__()
        self.selection = selection

    def forward(self, patch, attention, mean, first):
        features = CLIPFeatures(cls=patch.mean(1), patch=patch, grid=(3, 4), shallow=(),
                                mean_attention=attention)
        return self.selection(features, TextEmbeddings(mean, mean, first), 100.0)


@torch.no_grad()
@pytest.mark.parametrize('options', [
    dict(form='purify'), dict(form='purify', box=0.4), dict(form='votes', num_kept=5),
    dict(form='votes', num_kept=5, max_categories=2),
    dict(form='union', max_categories=3)], ids=str)
def test_selections_of_any_number_of_words(options):
    """Patches that are sure of their word: 100 times the cosine is more than exp takes.
    """
    model = Selecting(DynamicCategorySelection(**options)).eval()

    def inputs_of(words):
        mean = nn.functional.normalize(torch.randn(words, 8), dim=-1)
        patch = mean[torch.arange(24) % words].view(2, 12, 8)
        first = torch.arange(words)
        first[words // 2:] = first[words // 2:].clamp(max=words // 2)  # one word
        return (patch + 0.1 * torch.randn_like(patch), torch.rand(2, 12, 12) + 0.1,
                mean[first], first)

    words = torch.export.Dim('words')
    file = io.BytesIO()
    with _quiet():
        program = torch.export.export(
            model, inputs_of(11), dynamic_shapes=(None, None, {0: words}, {0: words}),
            strict=False)
        torch.onnx.export(program, inputs_of(11), dynamo=True, verbose=False,
                          input_names=['p', 'a', 'm', 'f']).save(file)
    session = onnxruntime.InferenceSession(file.getvalue())
    for count in (1, 2, 7, 80):
        inputs = inputs_of(count)
        found, = session.run(None, {k: x.numpy() for k, x in zip('pamf', inputs)})
        assert torch.equal(torch.from_numpy(found), model(*inputs)), count


@torch.no_grad()
def test_torch_format(place):
    predictor = predictor_of(place, frozen_config(place))
    model = predictor.model
    export_model(model, predictor.config, place / 'torch', format='torch',
                 max_selected=4)  # the size is that of the windows
    program = torch.export.load(str(place / 'torch' / 'model.pt2')).module()
    static = StaticDCPCLIP(model, 4, shared=True).eval()
    for batch, words in ((1, MANY[:1]), (3, MANY)):
        text = model.text_embeddings(Vocabulary(words))
        inputs = (torch.randn(batch, 3, 32, 32), text.mean, text.first_equal())
        for one, two in zip(program(*inputs), static(*inputs)):
            torch.testing.assert_close(one, two)
    with pytest.raises(ValueError, match='torch.export.load reads'):
        OnnxPredictor(place / 'torch')


@pytest.mark.parametrize('changes, options, message', [
    (dict(tag_validation=dict(seen=[])), {}, 'cfg-options model.tag_validation=None'),
    (dict(refinement=dict(type='PAMR')), {}, 'cfg-options model.refinement=None'),
    ({}, dict(format='torch'), '--size HEIGHT WIDTH'),
    ({}, dict(size=(30, 32)), 'multiples of the patch size, 8 and 8'),
    ({}, dict(max_selected=0), 'max_selected must be at least 1')],
    ids=['tags', 'pamr', 'torch', 'size', 'none'])
def test_refused(place, changes, options, message):
    config = config_of(place, **changes)
    predictor = Predictor(config)
    with pytest.raises(ValueError, match=message):
        export_model(predictor.model, config, place / 'refused', **options)
    assert not (place / 'refused').exists()


@pytest.mark.parametrize('key', ['custom_hooks', 'default_hooks.tags'])
def test_a_hook_that_validates_tags_is_refused_by_name(place, key):
    config = config_of(place)
    hook = dict(type='TagValidationHook', seen=[])
    config.merge_from_dict({key: [hook] if key == 'custom_hooks' else hook})
    with pytest.raises(ValueError, match=f'; {key}=TagValidationHook is not in the '
                       f'graph.*model.tag_validation=None {key}=None'):
        export_model(Predictor(config).model, config, place / 'refused')
    config.merge_from_dict({'model.tag_validation': None, key: None})
    check_exportable(Predictor(config).model, config)


def test_unknown_step_is_refused(place):
    config = config_of(place)
    config.test_pipeline.insert(2, dict(type='RandomFlip', prob=0.5))
    with pytest.raises(ValueError, match='RandomFlip with .* cannot be told'):
        export_model(Predictor(config).model, config, place / 'refused')


def test_no_exported_model(tmp_path):
    with pytest.raises(FileNotFoundError, match='no exported model in'):
        OnnxPredictor(tmp_path)
