"""Exported models against the models: labels, words, options, refusals."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.utils import digit_version
from toys import toy_model_config

from mmseg_dcpclip import OnnxPredictor, Predictor, Vocabulary
from mmseg_dcpclip.apis import export_model
from mmseg_dcpclip.apis.export import OLDEST
from mmseg_dcpclip.apis.export_check import compare
from mmseg_dcpclip.apis.word_files import WordEmbeddings, read_words, write_words
from mmseg_dcpclip.cli import main

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
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


def frozen_config(place, **changes) -> Config:
    return config_of(
        place, neck=None, decode_head=dict(
            type='CosineHead', scale=40., bias=0., activation='softmax',
            trainable=False),
        test_cfg=dict(mode='slide', crop_size=(32, 32), stride=(16, 16),
                      global_view=True, synonyms='max'), **changes)


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
    config = frozen_config(place)
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


@torch.no_grad()
def test_torch_format(place):
    predictor = predictor_of(place, config_of(place))
    model = predictor.model
    export_model(model, predictor.config, place / 'torch', format='torch',
                 max_selected=4, size=(32, 48))
    program = torch.export.load(str(place / 'torch' / 'model.pt2')).module()
    from mmseg_dcpclip.models.segmentors.static import StaticDCPCLIP
    static = StaticDCPCLIP(model, 4).eval()
    for batch, words in ((1, MANY[:1]), (3, MANY)):
        text = model.text_embeddings(Vocabulary(words))
        inputs = (torch.randn(batch, 3, 32, 48), text.mean, text.first_equal(),
                  text.templates)
        for one, two in zip(program(*inputs), static(*inputs)):
            torch.testing.assert_close(one, two)
    with pytest.raises(ValueError, match='torch.export.load reads'):
        OnnxPredictor(place / 'torch')


@pytest.mark.parametrize('changes, options, message', [
    (dict(tag_validation=dict(seen=[])), {}, 'cfg-options model.tag_validation=None'),
    (dict(refinement=dict(type='PAMR')), {}, 'cfg-options model.refinement=None'),
    ({}, dict(format='torch'), '--size HEIGHT WIDTH'),
    ({}, dict(size=(30, 32)), 'multiples of the patch size, 8 and 8'),
    ({}, dict(max_selected=0), 'max_selected must be at least 1'),
    (dict(read_out='procrustes'), {}, 'singular value decomposition.*--format torch'),
    (dict(read_out='self_calibrated'), {}, 'not shown to hold in ONNX'),
    (dict(selection=dict(form='votes')), {}, 'set --max-selected')],
    ids=['tags', 'pamr', 'torch', 'size', 'none', 'procrustes', 'calibrated', 'votes'])
def test_refused(place, changes, options, message):
    changes = dict(changes)
    read_out = changes.pop('read_out', 'plain')
    config = config_of(place, **changes)
    config.model.backbone.read_out = read_out
    predictor = Predictor(config)
    with pytest.raises(ValueError, match=message):
        export_model(predictor.model, config, place / 'refused', **options)
    assert not (place / 'refused').exists()


def test_unknown_step_is_refused(place):
    config = config_of(place)
    config.test_pipeline.insert(2, dict(type='RandomFlip', prob=0.5))
    with pytest.raises(ValueError, match='RandomFlip with .* cannot be told'):
        export_model(Predictor(config).model, config, place / 'refused')


def test_no_exported_model(tmp_path):
    with pytest.raises(FileNotFoundError, match='no exported model in'):
        OnnxPredictor(tmp_path)
