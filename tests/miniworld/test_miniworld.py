import numpy as np
import open_clip
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_dcpclip import Vocabulary
from mmseg_dcpclip.miniworld import MINI_CLIP_CONFIG, MINI_CLIP_WEIGHTS
from mmseg_dcpclip.miniworld.captions import TEMPLATES, caption
from mmseg_dcpclip.miniworld.draw import OUTLINES, Difficulty, _outline, draw_picture
from mmseg_dcpclip.miniworld.pretrain import (
    DrawnBatches,
    UsedTokens,
    build_clip,
    contrast,
    draw_batch,
    image_features,
    phrase_loss,
    text_features,
)
from mmseg_dcpclip.miniworld.splits import (
    BENCHMARK_SIZES,
    BENCHMARKS,
    CAPTIONED,
    NEVER_CAPTIONED,
    SEEN,
)
from mmseg_dcpclip.miniworld.surfaces import (
    COLOURS,
    NAMES,
    SURFACES,
    TEXTURES,
    texture_mask,
)

CLEAN = Difficulty(fields=(1, 1), things=(0, 0), light=0, drift=0, grain=0,
                   clutter=(0, 0))


def test_categories():
    assert len(NAMES) == len(set(NAMES)) == 11 * 8 * 10
    assert 'red stripes on blue' in NAMES and 'white dots on green' in NAMES


def test_splits():
    assert len(NEVER_CAPTIONED) == 80 and len(SEEN) == 171
    assert not set(NEVER_CAPTIONED) & set(CAPTIONED) and set(SEEN) <= set(CAPTIONED)
    for name, (total, seen) in BENCHMARK_SIZES.items():
        ids = BENCHMARKS[name]
        assert len(set(ids)) == total and len(set(ids) & set(SEEN)) == seen
    words = {word for i in SEEN for word in SURFACES[i]}
    assert words == set(COLOURS) | set(TEXTURES)  # every word is trained on
    assert len(Vocabulary.load('mini-847')) == 847
    assert Vocabulary.load('mini-847').seen(Vocabulary.load('mini-seen')).sum() == 147


@pytest.mark.parametrize('category', range(0, 880, 97))
def test_a_clean_field_has_the_two_colours(category):
    picture, label = draw_picture(np.random.default_rng(0), [category], 64, CLEAN)
    fg, _, bg = SURFACES[category]
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    assert {tuple(c) for c in colours.tolist()} == {COLOURS[fg], COLOURS[bg]}
    assert 0.15 < counts.min() / counts.sum() < 0.5
    assert (label == category).all()


def test_every_texture_shows_both_colours_in_any_two_patches():
    for texture in TEXTURES:
        mask = texture_mask(texture, np.random.default_rng(3))
        blocks = mask.reshape(14, 16, 14, 16).mean((1, 3))
        assert (blocks > 0.02).all() and (blocks < 0.9).all(), texture
    with pytest.raises(ValueError, match='tartan'):
        texture_mask('tartan', np.random.default_rng(0))


def test_drawing_is_seeded_and_labelled_from_the_pool():
    pool = BENCHMARKS['mini-20']
    first = draw_picture(np.random.default_rng(7), pool)
    again = draw_picture(np.random.default_rng(7), pool)
    other = draw_picture(np.random.default_rng(8), pool)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == (96, 96, 3) and first[0].dtype == np.uint8
    assert first[1].dtype == np.int64 and set(np.unique(first[1])) <= set(pool)


def test_outlines_differ_and_stay_within_reach():
    y, x = np.mgrid[-40:41, -40:41].astype(np.float32)
    masks = set()
    for seed in range(200):
        mask = _outline(np.random.default_rng(seed), y, x, 30.0)
        assert mask.any() and np.hypot(y, x)[mask].max() <= 1.3 * 30 * 2**0.5
        masks.add(mask.sum())
    assert len(masks) > 150 and len(OUTLINES) == 8


@pytest.mark.parametrize('pool, side', [([], 96), ([1], 4), ([1], 1000)])
def test_bad_drawings(pool, side):
    with pytest.raises(ValueError, match='pool|side'):
        draw_picture(np.random.default_rng(0), pool, side)


def test_captions_name_what_is_there():
    rng = np.random.default_rng(0)
    texts = {caption(rng, [3, 90]) for _ in range(60)}
    assert all(NAMES[3] in text and NAMES[90] in text for text in texts)
    assert len(texts) == 2 * len(TEMPLATES)
    assert caption(rng, [5]).count(NAMES[5]) == 1
    assert ', ' in caption(rng, [1, 2, 3])


# ------------------------------------------------------------------- the dataset

def test_dataset_draws_through_mmseg_pipelines():
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
                dict(type='PackSegInputs')]
    dataset = DATASETS.build(dict(type='MiniWorldDataset', categories='mini-847',
                                  num_pictures=5, first_seed=40, pipeline=pipeline,
                                  ignore_index=65535))
    assert len(dataset) == 5 and dataset.vocabulary.names == dataset.metainfo['classes']
    item = dataset[2]
    picture, label = draw_picture(np.random.default_rng(42), BENCHMARKS['mini-847'])
    assert torch.equal(item['inputs'],
                       torch.tensor(picture[..., ::-1].copy()).permute(2, 0, 1))
    truth = item['data_samples'].gt_sem_seg.data[0]
    names = np.array(dataset.vocabulary.names)
    assert (names[truth.numpy()] == np.array(NAMES)[label]).all()
    assert truth.max() > 255
    with pytest.raises(ValueError, match='mini-21'):
        DATASETS.build(dict(type='MiniWorldDataset', categories='mini-21'))


def test_five_benchmarks_in_the_config():
    from pathlib import Path
    root = Path(__file__).resolve().parents[2]
    config = Config.fromfile(root / 'configs' / 'dcpclip_mini.py')
    sizes = {name: len(DATASETS.build(b.dataloader.dataset).vocabulary)
             for name, b in config.benchmarks.items()}
    assert sizes == {name: total for name, (total, _) in BENCHMARK_SIZES.items()}
    large = config.benchmarks['mini-847'].dataloader.dataset
    assert large.num_pictures >= 300


# ------------------------------------------------------------------ the mini CLIP

def test_weights_are_open_clips_own_form_and_small():
    assert MINI_CLIP_WEIGHTS.stat().st_size <= 16e6
    open_clip.add_model_config(MINI_CLIP_CONFIG)
    clip = open_clip.create_model(MINI_CLIP_CONFIG.stem,
                                  pretrained=str(MINI_CLIP_WEIGHTS))
    tokens = open_clip.get_tokenizer(MINI_CLIP_CONFIG.stem)(
        [f'a picture of {name}' for name in NAMES[::40]])
    with torch.no_grad():
        torch.testing.assert_close(text_features(clip, tokens),
                                   clip.encode_text(tokens, normalize=True),
                                   atol=1e-5, rtol=1e-4)
        pictures, _, _ = draw_batch(np.random.default_rng(0), 2, 64, Difficulty())
        torch.testing.assert_close(image_features(clip, pictures)[0],
                                   clip.encode_image(pictures, normalize=True),
                                   atol=1e-5, rtol=1e-4)


def test_mini_clip_knows_its_words():
    """Half of all patches right over 880 categories (chance is 1 in 880)."""
    from mmseg_dcpclip.miniworld.pretrain import patch_accuracy
    clip = build_clip()
    open_clip.load_checkpoint(clip, str(MINI_CLIP_WEIGHTS))
    tokens = open_clip.get_tokenizer(MINI_CLIP_CONFIG.stem)(NAMES)
    rates = patch_accuracy(clip, tokens, range(880), pictures=20)
    assert rates['patches'] > 0.5
    assert patch_accuracy(clip, tokens, NEVER_CAPTIONED, pictures=10)['patches'] > 0.4


def test_phrase_loss_leaves_out_the_neighbours():
    scores = torch.tensor([[2.0, 1.0, -1.0, 0.5]])
    present = torch.tensor([[True, True, False, False]])
    negatives = scores[0, 2:].exp().sum()
    expected = -torch.stack([(s.exp() / (s.exp() + negatives)).log()
                             for s in scores[0, :2]]).mean()
    torch.testing.assert_close(phrase_loss(scores, present), expected)


def test_a_pretraining_step_learns():
    torch.manual_seed(0)
    clip = build_clip()
    tokenize = open_clip.get_tokenizer(MINI_CLIP_CONFIG.stem)
    phrases = tokenize([NAMES[c] for c in CAPTIONED])
    batch, present, captions = draw_batch(np.random.default_rng(1), 4, 48, Difficulty())
    used = UsedTokens(clip, torch.cat([phrases, tokenize(captions)]))
    before = clip.token_embedding.weight.detach().clone()
    optimizer = torch.optim.AdamW(clip.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = contrast(clip, batch, present, used(tokenize(captions)), used(phrases))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    table = used.full_table(clip.token_embedding.weight.detach())
    assert table.shape == (49408, 64)
    assert torch.equal(table[used.rows], clip.token_embedding.weight.detach())
    assert not torch.equal(clip.token_embedding.weight.detach(), before)
    # [EOT] is found as the highest id, in the small table too
    assert torch.equal(used(phrases).argmax(1), phrases.argmax(1))


def test_batches_do_not_depend_on_who_draws_them():
    batches = DrawnBatches(400, seed=3)
    assert [b[1:3] for b in batches.plan] == [(48, 192), (48, 192), (96, 64)]
    batches.plan = [(0.0, 48, 3, Difficulty()), (0.5, 48, 2, Difficulty())]
    want = [batches[i] for i in range(2)]
    loader = torch.utils.data.DataLoader(batches, batch_size=None, num_workers=1)
    for got, own in zip(loader, want, strict=True):
        assert torch.equal(got.pictures, own.pictures)
        assert torch.equal(got.present, own.present)
        assert (got.share, got.captions, got.frame) == (
            own.share, own.captions, own.frame)
    assert not torch.equal(want[0].pictures[:2], want[1].pictures)


@pytest.mark.parametrize('with_patches', [True, False])
def test_patches_are_asked_only_in_their_contrast(with_patches, monkeypatch):
    clip = build_clip()
    tokenize = open_clip.get_tokenizer(MINI_CLIP_CONFIG.stem)
    cls, patches = torch.rand(2, 128), torch.rand(2, 9, 128, requires_grad=True)
    monkeypatch.setattr('mmseg_dcpclip.miniworld.pretrain.image_features',
                        lambda clip, pictures: (cls, patches))
    present = torch.tensor([[True, False, False], [False, True, True]])
    loss = contrast(clip, torch.empty(2, 3, 24, 24), present, tokenize(['a', 'b']),
                    tokenize(NAMES[:3]), with_patches)
    loss.backward()
    assert (patches.grad is not None) == with_patches
