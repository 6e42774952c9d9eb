import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from toys import (
    MINI,
    WORDS,
    assert_all_gradients,
    toy_model,
    toy_model_config,
    toy_samples,
)

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.models import TagValidation, validate_tags
from mmseg_dcpclip.models.clip import tower as tower_module
from mmseg_dcpclip.models.segmentors import label_map
from mmseg_dcpclip.models.segmentors.samples import categories_in
from mmseg_dcpclip.models.segmentors.views import make_views, window_boxes
from mmseg_dcpclip.models.selection import dynamic as selection_module
from mmseg_dcpclip.models.structures import Pairs


def prepared(model, sizes, training=False, **kwargs):
    return model.data_preprocessor(toy_samples(sizes, **kwargs), training)


def maps_of(samples):
    return [sample.pred_sem_seg.data[0] for sample in samples]


# ---------------------------------------------------------------------- training

@pytest.mark.parametrize('changes', [
    {}, dict(neck=None, decode_head=dict(type='CosineHead')),
    dict(text_encoder=dict(type='CLIPTextEncoder', templates=['{}', 'some {}'],
                           trainable='qv', **MINI)),
    dict(join_ground_truth=False), dict(selection=dict(theta=0.0))])
def test_a_step_reaches_everything_that_is_trained(changes):
    model = toy_model(**changes)
    data = prepared(model, [(32, 32), (32, 32)], True)
    loss, log = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss) and loss > 0
    assert_all_gradients(model)
    assert {'decode.loss_bce', 'selection.recall', 'selection.count'} <= set(log)


def test_mixed_sizes_train_as_the_mean_of_one_by_one():
    model = toy_model()
    sizes = [(32, 40), (24, 24), (32, 40)]
    together = model(**prepared(model, sizes, True), mode='loss')
    alone = []
    for i in range(3):
        data = toy_samples(sizes)
        data = {k: v[i:i + 1] for k, v in data.items()}
        alone.append(model(**model.data_preprocessor(data, True), mode='loss'))
    for name in ('decode.loss_bce', 'selection.count'):
        expected = torch.stack([losses[name] for losses in alone]).mean()
        torch.testing.assert_close(together[name], expected, atol=1e-5, rtol=1e-5)


def test_ground_truth_joins_the_selection(monkeypatch):
    model = toy_model()
    monkeypatch.setattr(model, 'select', lambda *_: torch.tensor(
        [[True, False, False, False, False]]))
    data = prepared(model, [(16, 16)], True)
    label = torch.full((1, 16, 16), 255)
    label[0, 3, 4], label[0, 5, 5] = 2, 4
    data['data_samples'][0].gt_sem_seg.data = label
    seen = []
    decode = model.decode
    monkeypatch.setattr(model, 'decode', lambda f, t, pairs: seen.append(
        pairs.category.tolist()) or decode(f, t, pairs))
    losses = model(**data, mode='loss')
    assert seen == [[0, 2, 4]]
    assert losses['selection.recall'] == 0 and losses['selection.count'] == 1
    model.join_ground_truth = False
    model(**data, mode='loss')
    assert seen[1] == [0]


def test_stock_auxiliary_head_beside_it():
    model = toy_model(auxiliary_head=dict(
        type='FCNHead', in_channels=128, in_index=-1, channels=8, num_convs=1,
        num_classes=len(WORDS), norm_cfg=dict(type='BN'),
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4,
                         avg_non_ignore=True)))
    data = prepared(model, [(32, 32), (32, 32)], True)
    losses = model(**data, mode='loss')
    assert {'aux.loss_ce', 'aux.acc_seg'} <= set(losses)
    model.parse_losses(losses)[0].backward()
    assert_all_gradients(model)


def test_bad_labels_are_named():
    model = toy_model()
    data = prepared(model, [(16, 16)], True)
    data['data_samples'][0].gt_sem_seg.data[0, 0, 0] = 5
    with pytest.raises(ValueError, match='label 5 is neither one of the 5'):
        model(**data, mode='loss')
    data['data_samples'][0].gt_sem_seg = PixelData(data=torch.zeros(1, 16, 8).long())
    with pytest.raises(ValueError, match='label'):
        model(**data, mode='loss')
    model.ignore_index = 3
    with pytest.raises(ValueError, match='65535'):
        model(**data, mode='loss')


def test_plain_backbone_is_refused():
    with pytest.raises(ValueError, match='plain=False'):
        toy_model(backbone=dict(type='CLIPVisionBackbone', plain=True,
                                out_indices=(1, ), **MINI))


def test_categories_in_labels():
    labels = torch.tensor([[[0, 2], [300, 2]], [[300, 300], [300, 300]]])
    assert categories_in(labels, 4, 300).tolist() == [[True, False, True, False],
                                                      [False] * 4]


# ------------------------------------------------------------------------ testing

def plain_whole(model, image, size):
    """Whole mode over all categories, unselected ones at minus infinity."""
    logits, pairs, _ = model.encode_decode(image[None])
    full = torch.full((len(model.vocabulary), *size), -torch.inf)
    up = F.interpolate(logits[:, None], image.shape[-2:], mode='bilinear')
    full[pairs.category] = F.interpolate(up, size, mode='bilinear')[:, 0]
    return full.argmax(0)


@torch.no_grad()
@pytest.mark.parametrize('theta', [0.9, 0.0])
def test_whole_mode_equals_all_categories(theta):
    model = toy_model(selection=dict(theta=theta),
                      test_cfg=dict(mode='whole', max_maps=2)).eval()  # several chunks
    data = prepared(model, [(32, 40)])
    data['data_samples'][0].set_metainfo(dict(ori_shape=(50, 45)))
    expected = plain_whole(model, data['inputs'][0], (50, 45))
    sample = model.predict(**data)[0]
    assert sample.pred_sem_seg.data.dtype == torch.int64
    assert torch.equal(sample.pred_sem_seg.data[0], expected)
    if theta == 0:
        assert sample.selected_categories == [0, 1, 2, 3, 4]


def plain_slide(model, image, crop, stride, size, share_words=True):
    """The five-crop protocol, one crop after the other: what any selected, in all."""
    num = len(model.vocabulary)
    height, width = image.shape[-2:]
    boxes = window_boxes((height, width), crop, stride)
    views = [image[:, t:b, x:r] for t, x, b, r in boxes]
    views.append(F.interpolate(image[None], crop, mode='bilinear')[0])
    text = model.text_embeddings()
    own = [model.select(model.extract_feat(view[None]), text) for view in views]
    selected = torch.cat(own).any(0, keepdim=True)

    def probability(view, words):
        pairs = Pairs.from_mask(selected if share_words else words)
        logits = model.decode(model.extract_feat(view[None]), text, pairs)
        full = torch.zeros(num, *crop)
        full[pairs.category] = F.interpolate(
            logits[:, None], crop, mode='bilinear')[:, 0].sigmoid()
        return full

    total, count = torch.zeros(num, height, width), torch.zeros(height, width)
    for view, words, (top, left, bottom, right) in zip(views, own, boxes):
        total[:, top:bottom, left:right] += probability(view, words)
        count[top:bottom, left:right] += 1
    whole = F.interpolate(probability(views[-1], own[-1])[None], (height, width),
                          mode='bilinear')[0]
    merged = (total / count + whole) / 2
    return (F.interpolate(merged[None], size, mode='bilinear')[0],
            selected[0].nonzero()[:, 0].tolist())


@torch.no_grad()
@pytest.mark.parametrize('share_words', [True, False])
def test_slide_mode_equals_one_view_after_the_other(share_words):
    test_cfg = dict(mode='slide', crop_size=(24, 24), stride=(16, 16),
                    share_words=share_words)
    model = toy_model(test_cfg=test_cfg | dict(return_logits=True)).eval()
    data = prepared(model, [(40, 40), (40, 40)])
    for sample in data['data_samples']:
        sample.set_metainfo(dict(ori_shape=(33, 50)))
    results = model.predict(**data)
    for image, sample in zip(data['inputs'], results, strict=True):
        expected, chosen = plain_slide(model, image, (24, 24), (16, 16), (33, 50),
                                       share_words)
        assert sample.selected_categories == chosen
        torch.testing.assert_close(sample.seg_logits.data, expected[chosen],
                                   atol=1e-5, rtol=1e-4)
        agree = sample.pred_sem_seg.data[0] == expected.argmax(0)
        assert agree.float().mean() > 0.999  # rounding may turn a tie


def test_window_boxes_cover_the_image():
    assert window_boxes((640, 640), (384, 384), (256, 256)) == [
        (0, 0, 384, 384), (0, 256, 384, 640), (256, 0, 640, 384), (256, 256, 640, 640)]
    assert window_boxes((20, 50), (24, 24), (16, 16)) == [
        (0, 0, 20, 24), (0, 16, 20, 40), (0, 26, 20, 50)]
    with pytest.raises(ValueError, match='positive'):
        window_boxes((20, 20), (8, 8), (0, 4))


@torch.no_grad()
@pytest.mark.parametrize('test_cfg', [
    dict(mode='whole'), dict(mode='slide', crop_size=(24, 24), stride=(16, 16)),
    dict(mode='slide', crop_size=(24, 24), stride=(16, 16), global_view=False)])
def test_batch_of_mixed_sizes_equals_one_by_one(test_cfg):
    model = toy_model(test_cfg=test_cfg | dict(return_logits=True)).eval()
    sizes = [(32, 40), (24, 24), (32, 40), (1, 1), (9, 130)]
    together = model.predict(**prepared(model, sizes))
    for i, sample in enumerate(together):
        data = {k: v[i:i + 1] for k, v in toy_samples(sizes).items()}
        alone = model.predict(**model.data_preprocessor(data))[0]
        assert alone.selected_categories == sample.selected_categories
        assert alone.pred_sem_seg.data.shape == (1, *sizes[i])
        torch.testing.assert_close(alone.seg_logits.data, sample.seg_logits.data,
                                   atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_padding_and_flip_are_undone():
    model = toy_model(test_cfg=dict(mode='whole', return_logits=True)).eval()
    data = prepared(model, [(32, 40)])
    plain = model.predict(**data)[0].seg_logits.data
    meta = dict(ori_shape=(24, 32), padding_size=(0, 8, 0, 8), flip=True,
                flip_direction='horizontal')
    data['data_samples'][0].set_metainfo(meta)
    result = model.predict(**data)[0].seg_logits.data
    torch.testing.assert_close(result, plain[:, :24, :32].flip(2))


@torch.no_grad()
def test_without_data_samples():
    model = toy_model().eval()
    samples = model.predict(torch.randn(2, 3, 16, 24))
    assert [m.shape for m in maps_of(samples)] == [(16, 24)] * 2
    assert model(torch.randn(1, 3, 16, 16), mode='tensor')[0].shape[1:] == (8, 8)


@torch.no_grad()
def test_no_map_of_all_categories_at_image_size():
    """At 600 words no tensor comes near C x H x W."""
    words = [f'thing {i}' for i in range(600)]
    model = toy_model(vocabulary=words, selection=dict(theta=0.9)).eval()
    data = prepared(model, [(96, 96)])
    model.text_embeddings()
    with torch.profiler.profile(profile_memory=True) as profile:
        selected = len(model.predict(**data)[0].selected_categories)
    largest = max((event.cpu_memory_usage for event in profile.events()), default=0)
    assert 0 < largest < 600 * 96 * 96 * 4 / 2
    assert selected < 150


@torch.no_grad()
def test_fewer_maps_at_once_of_a_large_picture(monkeypatch):
    model = toy_model(selection=dict(theta=0.0)).eval()
    expected = model.predict(**prepared(model, [(32, 40)]))[0].pred_sem_seg.data
    merged, merge = [], label_map.merge_views
    monkeypatch.setattr(label_map, 'merge_views', lambda *args: merged.append(
        len(args[0][0])) or merge(*args))
    monkeypatch.setitem(label_map.MAX_VALUES, 'cpu', 2 * 32 * 40)
    sample = model.predict(**prepared(model, [(32, 40)]))[0]
    assert merged == [2, 2, 1] and torch.equal(sample.pred_sem_seg.data, expected)


@pytest.mark.parametrize('max_maps', [1, 2, 9])
def test_of_equal_maps_the_lowest_id_wins_in_whatever_parts(max_maps):
    pairs = Pairs.from_mask(torch.tensor([[False, True, True, True, True]]))
    found = label_map.make_label_map(
        torch.zeros(4, 3, 3), pairs, make_views(torch.zeros(1, 3, 6, 6)), 0, {},
        activation='sigmoid', max_maps=max_maps)
    assert (found.seg_map == 1).all() and found.categories.tolist() == [1, 2, 3, 4]


@torch.no_grad()
def test_one_word():
    model = toy_model(vocabulary=['cat']).eval()
    sample = model.predict(**prepared(model, [(16, 16)], num_classes=1))[0]
    assert (sample.pred_sem_seg.data == 0).all()


@pytest.mark.parametrize('test_cfg, message', [
    (dict(mode='slide'), 'crop_size'),
    (dict(mode='slide', crop_size=(8, 8), stride=(0, 4)), 'stride'),
    (dict(mode='slide', crop_size=8, stride=(4, 4)), 'crop_size'),
    (dict(mode='slide', crop_size=(8, 7.5), stride=(4, 4)), 'whole numbers'),
    (dict(mode='slide', crop_size=(8, 8), stride=(4, 9)), r'stride \(4, 9\) is longer'),
    (dict(mode='hole'), "mode='hole'"),
    (dict(mode='whole', return_logit=True), "did you mean 'return_logits'"),
    (dict(max_maps=0), 'max_maps')])
def test_bad_test_cfg(test_cfg, message):
    """Refused when the model is built, and when it is set."""
    with pytest.raises(ValueError, match=message):
        toy_model(test_cfg=test_cfg)
    model = toy_model()
    with pytest.raises(ValueError, match=message):
        model.test_cfg = test_cfg
    assert model.test_cfg == dict(mode='whole')


# -------------------------------------------------------------------------- words

@torch.no_grad()
def test_vocabulary_is_swapped_with_its_names():
    model = toy_model().eval()
    data = prepared(model, [(32, 32)])
    first = maps_of(model.predict(**data))[0].clone()
    other = Vocabulary(['sky', 'sea', 'sand|beach'])
    model.set_vocabulary(other)
    assert model.dataset_meta == dict(classes=('sky', 'sea', 'sand'),
                                      palette=other.palette)
    assert maps_of(model.predict(**data))[0].max() < 3
    model.set_vocabulary(WORDS)
    assert torch.equal(maps_of(model.predict(**data))[0], first)  # nothing stale
    model.dataset_meta = dict(classes=('road', ), palette=[[0, 0, 0]])
    assert model.dataset_meta['classes'] == tuple(WORDS)
    json.dumps(model.dataset_meta)  # as the inferencer's visualizer wants it


@pytest.mark.parametrize('words, message', [
    ([], 'empty'), (['cat', 'cat'], 'cat'), (['cat', ' '], 'blank')])
def test_bad_words(words, message):
    with pytest.raises(ValueError, match=message):
        toy_model().set_vocabulary(words)


# ----------------------------------------------------------------- tag validation

@torch.no_grad()
@pytest.mark.parametrize('test_cfg', [
    dict(mode='whole'), dict(mode='slide', crop_size=(24, 24), stride=(16, 16)),
    dict(mode='slide', crop_size=(24, 24), stride=(16, 16), global_view=False)])
def test_attached_validation_equals_the_formula(test_cfg):
    model = toy_model(seed=1, test_cfg=test_cfg).eval()
    data = prepared(model, [(40, 40)])
    before = maps_of(model.predict(**data))[0].clone()
    model.tag_validation = TagValidation([WORDS[0]], top_k=1)
    after = maps_of(model.predict(**data))[0]
    whole = data['inputs']
    if test_cfg['mode'] == 'slide':
        whole = F.interpolate(whole, (24, 24), mode='bilinear')
    feats = model.extract_feat(whole).patch_map[0]
    seen = torch.tensor([True, False, False, False, False])
    expected = validate_tags(before, feats, model.text_embeddings().mean, seen, top_k=1)
    assert torch.equal(after, expected)
    assert (after != before).any()


# ------------------------------------------------------------- parts of one's own

@MODELS.register_module()
class FirstWords(torch.nn.Module):
    """A selection that looks at nothing."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, features, text, logit_scale):
        selected = torch.zeros(len(features.cls), len(text.mean), dtype=torch.bool)
        selected[:, :self.count] = True
        return selected


@MODELS.register_module()
class EverythingIs:
    """A second look that knows the answer."""

    def __init__(self, seen, answer):
        self.seen, self.answer = seen, answer

    def __call__(self, seg_map, feats, text, vocabulary):
        assert feats.shape[0] == text.shape[1] and len(text) == len(vocabulary)
        return torch.full_like(seg_map, self.answer)


@torch.no_grad()
def test_selection_and_second_look_of_ones_own():
    model = toy_model(selection=dict(type='FirstWords', count=2),
                      tag_validation=dict(type='EverythingIs', answer=4)).eval()
    assert model.tag_validation.seen == model.vocabulary
    sample = model.predict(**prepared(model, [(16, 16)]))[0]
    assert sample.selected_categories == [0, 1]
    assert (sample.pred_sem_seg.data == 4).all()


@torch.no_grad()
def test_features_of_the_second_look_can_be_had():
    test_cfg = dict(mode='slide', crop_size=(24, 24), stride=(16, 16))
    model = toy_model(test_cfg=test_cfg | dict(return_features=True)).eval()
    data = prepared(model, [(40, 40)])
    feats = model.predict(**data)[0].patch_features.data
    whole = F.interpolate(data['inputs'], (24, 24), mode='bilinear')
    torch.testing.assert_close(feats, model.extract_feat(whole).patch_map[0],
                               atol=1e-5, rtol=1e-4)


# -------------------------------------------------------------------- checkpoints

@torch.no_grad()
def test_checkpoint_gives_the_same_predictions(tmp_path):
    from mmengine.runner import load_checkpoint, save_checkpoint
    model = toy_model(seed=1).eval()
    model.text_encoder.logit_scale.fill_(33.0)
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}),
                    str(tmp_path / 'm.pth'))
    other = toy_model(seed=2).eval()
    data = prepared(model, [(32, 32)])
    other.predict(**data)  # fills the bank with embeddings of the old weights
    load_checkpoint(other, str(tmp_path / 'm.pth'))
    expected, result = (maps_of(m.predict(**prepared(m, [(32, 32)])))[0]
                        for m in (model, other))
    assert torch.equal(result, expected)
    torch.testing.assert_close(other.text_embeddings().mean,
                               model.text_embeddings().mean)


def test_checkpoint_of_another_model_is_refused(tmp_path):
    from mmengine.runner import load_checkpoint, save_checkpoint
    save_checkpoint(dict(state_dict=torch.nn.Linear(3, 3).state_dict()),
                    str(tmp_path / 'm.pth'))
    with pytest.raises(ValueError, match='another model'):
        load_checkpoint(toy_model(), str(tmp_path / 'm.pth'))


def test_one_reading_serves_both_towers(monkeypatch):
    calls = []
    load = tower_module.load_clip_weights
    monkeypatch.setattr(tower_module, 'load_clip_weights',
                        lambda *args: calls.append(args) or load(*args))
    config = toy_model_config()
    for tower in ('backbone', 'text_encoder'):
        config[tower]['pretrained'] = 'miniworld'
    model = MODELS.build(config)
    model.init_weights()
    assert len(calls) == 1
    from safetensors.numpy import load_file

    from mmseg_dcpclip.miniworld import MINI_CLIP_WEIGHTS
    stored = load_file(MINI_CLIP_WEIGHTS)
    np.testing.assert_array_equal(model.backbone.visual.proj.detach(),
                                  stored['visual.proj'].astype(np.float32))
    np.testing.assert_array_equal(model.text_encoder.text.text_projection.detach(),
                                  stored['text_projection'].astype(np.float32))


def test_autocast_runs():
    model = toy_model()
    data = prepared(model, [(32, 32)], True)
    plain = model(**data, mode='loss')['decode.loss_bce']
    with torch.autocast('cpu', torch.bfloat16):
        loss = model(**data, mode='loss')['decode.loss_bce']
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain, atol=0.05, rtol=0.05)
    assert_all_gradients(model)


def test_max_categories_guards_and_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(selection_module, 'print_log',
                        lambda text, logger: said.append(text))
    model = toy_model(selection=dict(theta=0.0, max_categories=2)).eval()
    with torch.no_grad():
        sample = model.predict(**prepared(model, [(16, 16)]))[0]
    assert len(sample.selected_categories) == 2
    assert said == ['selection cut from 5 to 2 categories (max_categories)']


def test_pairs_of_a_batch_are_ragged():
    model = toy_model()
    features = model.extract_feat(torch.randn(2, 3, 16, 16))
    text = model.text_embeddings()
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 0, 0]]).bool()
    assert model.decode(features, text, Pairs.from_mask(mask)).shape == (6, 8, 8)


@torch.no_grad()
@pytest.mark.parametrize('tokens', [1, 40, 10**6])
@pytest.mark.parametrize('compile_head', [None, dict(bucket=4, backend='eager')])
def test_some_pairs_at_a_time_equal_all_at_once(tokens, compile_head):
    model = toy_model(selection=dict(theta=0.0)).eval()
    features = model.extract_feat(torch.randn(3, 3, 32, 32))  # 16 places
    text = model.text_embeddings()
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [1, 0, 0, 1, 0]]).bool()
    pairs = Pairs.from_mask(mask)
    with torch.enable_grad():  # never in parts
        expected = model.decode(features, text, pairs)
    model.test_cfg = dict(mode='whole', max_places=tokens)
    model.compile_head = compile_head
    torch.testing.assert_close(model.decode(features, text, pairs), expected,
                               atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_compiled_head_is_compiled_once_per_bucket():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    model = toy_model(selection=dict(theta=0.0), compile_head=dict(
        bucket=4, backend=backend)).eval()
    data = prepared(model, [(16, 16)])
    seen = []
    for num in (5, 3, 4, 2, 1):
        model.set_vocabulary([f'thing {i}' for i in range(num)])
        model.predict(**data)
        seen.append(len(graphs))
    assert seen[0] < seen[1] == seen[-1]  # 8 and 4 pairs
