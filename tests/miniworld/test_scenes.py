import hashlib
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_dcpclip.cli import main
from mmseg_dcpclip.evaluation.benchmarks import collect_benchmarks
from mmseg_dcpclip.miniworld import demo
from mmseg_dcpclip.miniworld.draw import draw_picture
from mmseg_dcpclip.miniworld.scene_kinds import (
    GROUND_TEXTURES,
    KINDS,
    THING_TEXTURES,
    is_ground,
)
from mmseg_dcpclip.miniworld.scene_shapes import FORMS
from mmseg_dcpclip.miniworld.scenes import SceneDifficulty, compose, draw_scene
from mmseg_dcpclip.miniworld.splits import BENCHMARKS, SEEN, UNSEEN
from mmseg_dcpclip.miniworld.surfaces import COLOURS, SURFACES, TEXTURES

POOL = BENCHMARKS['mini-847']
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture(scope='module')
def scenes():
    """Enough scenes to see each kind many times."""
    return [compose(np.random.default_rng(seed), POOL) for seed in range(700)]


def test_forty_kinds_that_differ():
    assert len(KINDS) == len(set(KINDS)) == 40
    assert len({kind.bands for kind in KINDS}) == 40
    assert set(GROUND_TEXTURES) | set(THING_TEXTURES) == set(TEXTURES)
    for kind in KINDS:
        assert all(sort.ground < len(kind.bands) for sort in kind.sorts)
        for family in kind.families():
            own = np.flatnonzero(family.parts() == 3).tolist()
            # what is learned of the seen ones is of use for the unseen ones
            assert len(own) >= 12 and len(set(own) & set(SEEN)) >= 2
            assert len(set(own) & set(UNSEEN)) >= 2
    covered = sum((family.parts() == 3).astype(int)
                  for kind in KINDS for family in kind.families())
    assert covered.min() >= 1  # every category is at home somewhere


def test_the_same_on_every_machine():
    """No operation is used whose last digit a processor or a version may choose."""
    digest = hashlib.sha256()
    for seed in range(12):
        picture, label = draw_scene(np.random.default_rng(seed), POOL)
        assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8
        assert label.dtype == np.int64
        digest.update(picture.tobytes() + label.astype('<i8').tobytes())
    assert digest.hexdigest()[:16] == '6d97c10429f9cdd2'


def test_labels_are_those_of_the_regions(scenes):
    for scene in scenes[:200]:
        assert np.array_equal(np.array(scene.chosen)[scene.owner], scene.label)
        assert set(scene.chosen) <= set(POOL)
    assert {scene.kind for scene in scenes} == set(range(40))


def test_what_lies_above_what(scenes):
    """Bands lie one above the other, and things stand on their ground."""
    for scene in scenes:
        bands = len(KINDS[scene.kind].bands)
        below = np.zeros(96, np.int64)
        for row in scene.owner:
            band = row < bands
            assert (row[band] >= below[band]).all()
            below[band] = row[band]
        rows = np.arange(96)
        for thing in scene.things:
            foot = thing.foot[0] * 96
            column = scene.owner[:, min(int(thing.foot[1] * 96), 95)]
            assert (rows[column < thing.ground] < foot).all()
            assert (rows[(column > thing.ground) & (column < bands)] > foot - 1).all()


def test_things_stand_from_back_to_front_and_grow(scenes):
    heights = {form: ([], []) for form in FORMS}
    for scene in scenes:
        feet = [thing.foot[0] for thing in scene.things]
        assert feet == sorted(feet)
        whole = scene.owner.max()  # the one in front hides, and is not hidden
        front = scene.things[-1]
        if whole - len(KINDS[scene.kind].bands) == len(scene.things):
            rows = np.flatnonzero((scene.owner == whole).any(1))
            if 0 < rows[0] and rows[-1] < 95:
                heights[front.form][front.foot[0] > 0.75].append(len(rows))
    grown = [np.mean(near) > np.mean(far) for far, near in heights.values()
             if len(far) > 5 and len(near) > 5]
    assert len(grown) >= 4 and all(grown)


def test_what_appears_with_what(scenes):
    """The second sort comes with the first, and stands beside it."""
    first = np.array([any(t.sort == 0 for t in scene.things) for scene in scenes])
    second = np.array([any(t.sort == 1 for t in scene.things) for scene in scenes])
    assert second[first].mean() > 0.7 and second[~first].mean() < 0.2
    # as often together as if drawn one by one? no
    assert (first & second).mean() > 1.05 * first.mean() * second.mean()
    for scene in scenes:
        places = {thing.sort: thing.foot[1] for thing in scene.things[::-1]}
        if {0, 1} <= set(places):
            hosts = [t.foot[1] for t in scene.things if t.sort == 0]
            assert min(abs(places[1] - host) for host in hosts) < 0.45


def test_families_at_home_and_guests(scenes):
    at_home, guests = [], 0
    for scene in scenes:
        kind, grounds = KINDS[scene.kind], len(KINDS[scene.kind].bands) + 1
        families = kind.families()
        for region in np.unique(scene.owner):
            category = scene.chosen[region]
            assert is_ground(category) == (region < grounds)
            sort = -1 if region < grounds else scene.things[region - grounds].sort
            guest = region >= grounds and sort < 0
            guests += guest
            if not guest:
                slot = region if region < grounds else grounds + sort
                at_home.append(families[slot].parts()[category])
    share = np.bincount(at_home) / len(at_home)
    assert share[3] > 0.55 and share[2] > 0.1 and share[:2].sum() > 0.01
    assert 0.15 < guests / len(scenes) < 0.4


def test_seen_and_unseen_stay_apart():
    for seed in range(40):
        scene = compose(np.random.default_rng(seed), SEEN)
        assert set(np.unique(scene.label)) <= set(SEEN)
    seen = np.array([category in SEEN for seed in range(60) for category in compose(
        np.random.default_rng(seed), BENCHMARKS['mini-150']).chosen])
    assert 0.2 < seen.mean() < 0.45  # 47 of 150


def test_outlines_belong_to_their_thing(scenes):
    for scene in scenes[:200]:
        grounds = len(KINDS[scene.kind].bands) + 1
        assert (scene.owner[scene.outlined] >= grounds).all()
        # a pixel of a line has a neighbour elsewhere, or it lies where parts leave off
        inside = np.zeros((96, 96), bool)
        own = scene.owner
        inside[1:-1, 1:-1] = ((own[1:-1, 1:-1] == own[:-2, 1:-1])
                              & (own[1:-1, 1:-1] == own[2:, 1:-1])
                              & (own[1:-1, 1:-1] == own[1:-1, :-2])
                              & (own[1:-1, 1:-1] == own[1:-1, 2:]))
        assert not (inside & scene.outlined).any()
    dark = [scene.picture[scene.outlined].mean() for scene in scenes]
    fill = [scene.picture[(scene.owner > len(KINDS[scene.kind].bands))
                          & ~scene.outlined].mean() for scene in scenes]
    assert np.mean(dark) < 0.7 * np.mean(fill)


def test_light_moves_no_label():
    """Without light, noise and lines, grounds and things have their two colours."""
    plain = SceneDifficulty(slope=0, sunny=0, shadow=0, outline=1, drift=0, grain=0,
                            clutter=(0, 0))
    for seed in range(10):
        lit = compose(np.random.default_rng(seed), POOL)
        flat = compose(np.random.default_rng(seed), POOL, difficulty=plain)
        assert np.array_equal(lit.label, flat.label)
        for band in range(len(KINDS[flat.kind].bands)):
            front, _, back = SURFACES[flat.chosen[band]]
            colours = {tuple(c) for c in flat.picture[flat.owner == band].tolist()}
            assert colours <= {COLOURS[front], COLOURS[back]}
            if (lit.owner == band).sum() > 500:  # brightness says little there
                assert lit.picture[lit.owner == band].std() > 20


@pytest.mark.parametrize('pool, side', [([5], 96), ([5, 6], 48), (POOL, 224)])
def test_any_pool_and_side(pool, side):
    for seed in range(5):
        picture, label = draw_scene(np.random.default_rng(seed), pool, side)
        assert picture.shape == (side, side, 3) and set(np.unique(label)) <= set(pool)


@pytest.mark.parametrize('pool, side', [([], 96), ([1], 4), ([1], 1000)])
def test_bad_scenes(pool, side):
    with pytest.raises(ValueError, match='pool|side'):
        draw_scene(np.random.default_rng(0), pool, side)


# ------------------------------------------------------------- datasets and configs

def test_old_pictures_are_as_they_were():
    _, label = draw_picture(np.random.default_rng(42), POOL)
    ids, counts = np.unique(label, return_counts=True)
    # not to the pixel: a sine may differ in its last digit
    assert dict(zip(ids.tolist(), counts.tolist(), strict=True)) == pytest.approx(
        {77: 7938, 379: 515, 383: 145, 574: 230, 616: 164, 755: 224}, abs=4)


def test_the_dataset_draws_scenes():
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
                dict(type='PackSegInputs')]
    dataset = DATASETS.build(dict(
        type='MiniWorldDataset', categories='mini-20', scenes=True, num_pictures=3,
        first_seed=7, pipeline=pipeline, difficulty=dict(grain=0)))
    assert dataset.metainfo['dataset_name'] == 'scene-20'
    item = dataset[1]
    picture, label = draw_scene(np.random.default_rng(8), BENCHMARKS['mini-20'],
                                difficulty=SceneDifficulty(grain=0))
    assert np.array_equal(item['inputs'].numpy(), picture[..., ::-1].transpose(2, 0, 1))
    assert np.array_equal(np.array(BENCHMARKS['mini-20'])[
        item['data_samples'].gt_sem_seg.data[0].numpy()], label)


def test_benchmarks_beside_the_old_ones():
    names = [f'{name}-{words}' for name in ('mini', 'scene')
             for words in (847, 459, 150, 59, 20)]
    old, new = (Config.fromfile(CONFIGS / f'{name}.py')
                for name in ('dcpclip_mini', 'dcpclip_mini_scenes'))
    assert [b.name for b in collect_benchmarks(old, ['all'], CONFIGS)] == names[:5]
    assert [b.name for b in collect_benchmarks(new, ['all'], CONFIGS)] == names
    for config in (old, new):
        for benchmark in collect_benchmarks(config, names, CONFIGS):
            dataset = benchmark.dataloader['dataset']
            world, words = benchmark.name.split('-')
            assert dataset['categories'] == f'mini-{words}'
            assert dataset.get('scenes', False) == (world == 'scene')
    with pytest.raises(ValueError, match='scene-21; choose from mini-847, .*scene-20'):
        collect_benchmarks(old, ['scene-21'], CONFIGS)
    assert new.train_dataloader.dataset.scenes
    assert new.train_dataloader.dataset.categories == 'mini-seen'


def test_sheet_of_scenes(tmp_path, capsys):
    sheet = tmp_path / 'new' / 'sheet.png'
    assert main(['data', 'draw', str(tmp_path), '--scenes', '--pictures', '5',
                 '--sheet', str(sheet)]) == 0
    first = np.asarray(Image.open(tmp_path / '0.png'))
    drawn = np.asarray(Image.open(sheet))
    assert drawn.shape == (2 * 2 * 96, 4 * 2 * 2 * 96, 3)  # two rows, twice as large
    assert np.array_equal(drawn[:192:2, :192:2], first)
    assert (drawn[192:, 384:] == 255).all()
    assert capsys.readouterr().out.count('dcpclip segment ') == 5


def test_examples_may_be_scenes(tmp_path):
    plain, = demo.draw_examples(tmp_path / 'plain', 1)
    scene, = demo.draw_examples(tmp_path / 'scene', 1, scenes=True)
    assert plain.path.read_bytes() != scene.path.read_bytes()
    unseen = demo.draw_unseen(tmp_path, scenes=True)
    assert (tmp_path / 'picture_truth.png').is_file() and len(unseen.words) > 22
