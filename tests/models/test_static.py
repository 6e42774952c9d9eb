"""The network of fixed shapes against the model, picture by picture."""

import pytest
import torch
import torch.nn.functional as F
from toys import can_build, can_compile, toy_model, toy_model_config, toy_samples

from mmseg_dcpclip.models.decode_heads.spatial_enhanced_decoder import pooling_matrix
from mmseg_dcpclip.models.segmentors.static import ABSENT, StaticDCPCLIP
from mmseg_dcpclip.models.selection.scores import (
    image_order,
    mark_top,
    top_selected,
)
from mmseg_dcpclip.models.structures import TextEmbeddings

COSINE = dict(neck=None, decode_head=dict(type='CosineHead', activation='softmax'))
RIVALS = dict(neck=dict(toy_model_config()['neck'], competition=20.0))
MANY = [f'thing {i}' for i in range(12)]


def inputs_of(model, pictures):
    text = model.text_embeddings()
    inputs = (pictures, text.mean, text.first_equal())
    return (*inputs, text.templates) if model.neck.uses_templates else inputs


def prepared(model, sizes, training=False):
    return model.data_preprocessor(toy_samples(sizes), training)


def assert_like_the_model(model, static, pictures, views=1):
    """The same categories, the same logits, and nothing besides."""
    logits, ids = static(*inputs_of(model, pictures))
    wanted, pairs, _ = model.encode_decode(pictures, views=views)
    assert logits.shape[:2] == ids.shape == (len(pictures), static.max_selected)
    parts = zip(pairs.category.split(pairs.counts), wanted.split(pairs.counts))
    for own_logits, own_ids, (categories, maps) in zip(logits, ids, parts):
        there = own_ids >= 0
        assert own_ids[there].tolist() == categories.tolist()
        torch.testing.assert_close(own_logits[there], maps, atol=1e-5, rtol=1e-5)
        assert (own_logits[~there] == ABSENT).all()


@torch.no_grad()
@pytest.mark.parametrize('changes', [
    {}, COSINE, RIVALS, dict(selection=dict(theta=0)),
    dict(selection=dict(form='union')),
    dict(selection=dict(form='purify')), dict(selection=dict(form='votes', num_kept=3)),
    dict(selection=dict(theta=0, max_categories=2))],
    ids=['paper', 'cosine', 'competition', 'all', 'union', 'purify', 'votes', 'most'])
def test_equals_the_model(changes):
    model = toy_model(**{'vocabulary': MANY, **changes}).eval()
    static = StaticDCPCLIP(model, 20)  # more than there are words
    for size in ((40, 56), (45, 50)):
        assert_like_the_model(model, static, torch.randn(3, 3, *size))


@torch.no_grad()
@pytest.mark.parametrize('changes', [{}, COSINE], ids=['trained', 'cosine'])
def test_of_more_the_best_stay(changes):
    """As with ``max_categories``."""
    model = toy_model(**{'vocabulary': MANY, 'selection': dict(theta=0), **changes})
    static = StaticDCPCLIP(model.eval(), 4)
    pictures = torch.randn(3, 3, 40, 56)
    _, ids = static(*inputs_of(model, pictures))
    assert (ids >= 0).all()
    model.selection.max_categories = 4
    assert_like_the_model(model, StaticDCPCLIP(model, 4), pictures)
    torch.testing.assert_close(StaticDCPCLIP(model, 4)(*inputs_of(model, pictures))[1],
                               ids)


@torch.no_grad()
@pytest.mark.parametrize('share_words', [True, False])
def test_views_share_their_categories(share_words):
    model = toy_model(vocabulary=MANY, test_cfg=dict(
        mode='slide', crop_size=(40, 40), stride=(40, 40), share_words=share_words)
        ).eval()
    pictures = torch.randn(3, 3, 40, 40)
    assert_like_the_model(model, StaticDCPCLIP(model, 12, shared=True), pictures, 3)


@can_compile
@torch.no_grad()
@pytest.mark.parametrize('backend, changes', [
    ('aot_eager', dict(selection=dict(theta=0.5))),
    ('eager', COSINE | dict(selection=dict(max_categories=3))),
    ('eager', COSINE | dict(selection=dict(form='purify'))),
    ('eager', COSINE | dict(selection=dict(form='votes', num_kept=4)))],
    ids=['aot_eager', 'most', 'purify', 'votes'])
def test_compiled_in_one_graph(backend, changes):
    model = toy_model(vocabulary=MANY, **changes).eval()
    static = StaticDCPCLIP(model, 6).eval()
    torch._dynamo.reset()
    compiled = torch.compile(static, backend=backend, fullgraph=True)
    for seed in range(2):
        torch.manual_seed(seed)  # other categories, the same graph
        inputs = inputs_of(model, torch.randn(2, 3, 40, 56))
        for one, two in zip(compiled(*inputs), static(*inputs)):
            torch.testing.assert_close(one, two)
    torch._dynamo.reset()


def test_what_fills_up_has_no_gradient():
    """A category that is not there changes nothing: not in attention, not in maps."""
    model = toy_model(vocabulary=MANY)
    model.text_encoder.requires_grad_(False)
    static = StaticDCPCLIP(model.eval(), 12)
    pictures = torch.randn(1, 3, 40, 40)
    mean = F.normalize(torch.randn(12, 128), dim=-1)
    templates = F.normalize(torch.randn(12, 2, 128), dim=-1).requires_grad_()
    text = TextEmbeddings(templates, mean)
    logits, ids = static(pictures, mean, text.first_equal(), templates)
    there = ids[0] >= 0
    assert 0 < there.sum() < 12
    logits[0, there].sum().backward()
    touched = templates.grad.abs().sum((1, 2)) > 0
    assert touched.nonzero().squeeze(1).tolist() == ids[0, there].tolist()


def test_top_selected():
    selected = torch.tensor([[True, False, True, True], [False, True, False, False]])
    scores = torch.tensor([[1., 9, 3, 2], [0, 0, 0, 0]])
    ids, valid = top_selected(selected, scores, 2)
    assert ids.tolist() == [[2, 3], [1, 0]]
    assert valid.tolist() == [[True, True], [True, False]]
    ids, valid = top_selected(selected, scores, 6)
    assert ids[0, valid[0]].tolist() == [0, 2, 3] and ids[1, valid[1]].tolist() == [1]
    assert ids.shape == (2, 6)


@pytest.mark.parametrize('dtype', [torch.float32, torch.int64])
def test_of_equal_scores_the_lowest_ids_are_kept(dtype):
    scores = torch.randint(0, 4, (20, 50)).to(dtype)
    order = scores.sort(dim=1, descending=True, stable=True).indices
    for most in (1, 7, 50, 60):
        wanted = torch.zeros_like(scores, dtype=torch.bool).scatter(
            1, order[:, :most], torch.ones_like(scores, dtype=torch.bool))
        assert torch.equal(mark_top(scores, most), wanted)
        selected = torch.rand(20, 50) < 0.5
        ids, valid = top_selected(selected, scores.float(), most)
        for row, there, own, by in zip(ids, valid, selected, order):
            assert row[there].tolist() == sorted(by[own[by]][:most].tolist())


def test_of_equal_words_the_lowest_ids_are_kept():
    """Also where a product of one of them rounds in another way."""
    words = torch.nn.functional.normalize(torch.randn(37, 16), dim=-1).repeat(3, 1)
    text = TextEmbeddings(words[:, None], words)
    order = image_order(torch.randn(5, 16), text, 100.0)
    assert torch.equal(order[:, :37], order[:, 37:74])
    assert torch.equal(order[:, :37], order[:, 74:])


@pytest.mark.parametrize('size, out', [(5, 8), (8, 8), (24, 8), (7, 3), (1, 4)])
def test_pooling_matrix(size, out):
    x = torch.randn(2, size)
    torch.testing.assert_close(x @ pooling_matrix(size, out, x).T,
                               F.adaptive_avg_pool1d(x, out))


SLIDE = dict(mode='slide', crop_size=(32, 32), stride=(24, 24))


def predictions(model, sizes):
    """Label maps and probabilities of pictures."""
    torch.manual_seed(1)
    return [(s.pred_sem_seg.data, s.seg_logits.data, s.selected_categories)
            for s in model.predict(**prepared(model, sizes))]


@can_compile
@torch.no_grad()
@pytest.mark.parametrize('test_cfg, compile', [
    (dict(mode='whole'), None), (dict(mode='whole', tta='flip+shift'), None),
    (SLIDE, None), (dict(SLIDE, share_words=False), None),
    (dict(SLIDE, share_words=False), dict(backend='eager'))],
    ids=['whole', 'forms', 'slide', 'own words', 'compiled'])
def test_a_model_predicts_by_it(test_cfg, compile):
    changes = dict(vocabulary=MANY, selection=dict(theta=0.1),
                   tag_validation=dict(seen=MANY[:2], top_k=2),
                   test_cfg=dict(test_cfg, return_logits=True))
    model = toy_model(**changes).eval()
    torch._dynamo.reset()
    static = toy_model(**changes, static=dict(max_selected=20, compile=compile)).eval()
    static.load_state_dict(model.state_dict())
    assert static.state_dict().keys() == model.state_dict().keys()
    sizes = [(40, 56)] if compile else [(40, 56), (40, 40), (40, 56)]
    for own, theirs in zip(predictions(static, sizes), predictions(model, sizes)):
        torch.testing.assert_close(own, theirs, atol=1e-5, rtol=1e-5)
    torch._dynamo.reset()


@can_build
@can_compile
@torch.no_grad()
def test_built_by_inductor():
    """What is kept of a picture stays when the next one comes, as with CUDA graphs."""
    changes = dict(vocabulary=MANY, test_cfg=dict(mode='whole', return_features=True))
    model = toy_model(**changes).eval()
    static = toy_model(**changes, static=dict(
        max_selected=12, compile=dict(mode='reduce-overhead'))).eval()
    for made in (model, static):
        blocks = made.backbone.visual.transformer.resblocks
        made.backbone.visual.transformer.resblocks = blocks[2:]  # less to build
        made.backbone.out_indices = (0, 1)
    static.load_state_dict(model.state_dict())
    torch._dynamo.reset()
    data = prepared(model, [(40, 56)] * 2)
    one, two = (made.predict(data['inputs'][:1])[0] for made in (model, static))
    static.predict(data['inputs'][1:])
    torch.testing.assert_close(two.patch_features.data, one.patch_features.data,
                               atol=1e-4, rtol=1e-4)
    same = (one.pred_sem_seg.data == two.pred_sem_seg.data).float().mean()
    assert same > 0.99 and one.selected_categories == two.selected_categories
    torch._dynamo.reset()


def test_trains_as_ever():
    """Fixed numbers are for predictions."""
    model = toy_model(vocabulary=MANY, static=dict(max_selected=1))
    other = toy_model(vocabulary=MANY)
    other.load_state_dict(model.state_dict())
    data = prepared(model, [(40, 56)], training=True)
    torch.testing.assert_close(model.train().loss(**data), other.train().loss(**data))


@pytest.mark.parametrize('static, message', [
    (dict(max_selected=0), 'max_selected must be at least 1'),
    (dict(max_select=3), "did you mean 'max_selected'"),
    (dict(compile_head=dict()), "static has no key 'compile_head'")])
def test_settings_that_are_refused(static, message):
    with pytest.raises(ValueError, match=message):
        toy_model(static=static)


def test_refused():
    model = toy_model()
    with pytest.raises(ValueError, match='max_selected must be at least 1'):
        StaticDCPCLIP(model, 0)

    class Other(type(model.neck)):
        takes_filled_up = False

    model.neck.__class__ = Other
    with pytest.raises(ValueError, match='Other cannot leave out pairs'):
        StaticDCPCLIP(model)
