"""Each read-out against a plain computation on towers like ViT-B/16 and ViT-L/14."""

import numpy as np
import pytest
import torch
from readout_reference import Reference, openai_state, outliers

from mmseg_dcpclip.models import CLIPVisionBackbone
from mmseg_dcpclip.models.clip import load_clip_weights
from mmseg_dcpclip.models.clip.last_block import LastBlock
from mmseg_dcpclip.models.clip.loading import OPENAI_KEYS
from mmseg_dcpclip.models.clip.outliers import fill_from_neighbours
from mmseg_dcpclip.models.clip.readouts import READ_OUTS, ReadOut

TOWERS = {'ViT-B-16': dict(width=768, depth=12, patch_size=16, side=14, joint=512),
          'ViT-L-14': dict(width=1024, depth=24, patch_size=14, side=16, joint=768)}
GRIDS = {'ViT-B-16': [(6, 6), (4, 9), (3, 3)], 'ViT-L-14': [(5, 7), (3, 3)]}
NAMES = ['plain', 'value', 'catseg', 'qq', 'csa', 'kk_gauss', 'rcs', 'procrustes',
         'self_calibrated']


@pytest.fixture(scope='module', params=TOWERS)
def tower(request, tmp_path_factory):
    """Our backbone, the reference with the same weights, and the tower's name.

    The file has the form of OpenAI's, whose towers need QuickGELU.
    """
    sizes = TOWERS[request.param]
    state = openai_state(**sizes)
    path = tmp_path_factory.mktemp('openai') / 'weights.pt'
    torch.save({**{f'visual.{key}': torch.from_numpy(value)
                   for key, value in state.items()},
                'token_embedding.weight': torch.zeros(1, 1),
                'logit_scale': torch.tensor(4.6),
                **{key: torch.tensor(1) for key in OPENAI_KEYS}}, path)
    backbone = CLIPVisionBackbone(request.param, trainable='none').eval()
    backbone.load_clip(load_clip_weights(request.param, str(path)))
    path.unlink()
    return backbone, Reference(state, sizes['width'] // 64), request.param


def close(ours, expected, name):
    """Equal to 1e-5 of the largest value; what tells patches apart to 3e-5."""
    ours = ours.double().numpy()
    assert np.abs(ours - expected).max() < 1e-5 * np.abs(expected).max(), name
    if ours.ndim > 1:
        ours, expected = (x - x.mean(0) for x in (ours, expected))
        assert np.abs(ours - expected).max() < 3e-5 * np.abs(expected).max(), name


@torch.no_grad()
def test_whole_towers(tower, monkeypatch):
    """A picture in, features out, on square and other grids."""
    backbone, reference, name = tower
    size = backbone.patch_size[0]
    whole_table = reference.state['positional_embedding']
    for grid in GRIDS[name]:
        # how the table is resized is not tested here
        table = whole_table[:1 + grid[0] * grid[1]]
        reference.state['positional_embedding'] = table
        monkeypatch.setattr(
            'mmseg_dcpclip.models.backbones.clip_vision.resize_position_embedding',
            lambda *args, table=table: torch.from_numpy(table).float())
        image = torch.randn(1, 3, grid[0] * size, grid[1] * size)
        outputs, attentions = reference.tokens(image[0].double().numpy())
        mean_attention = sum(attentions[:-1]) / len(attentions[:-1])
        for read_out in NAMES:
            backbone.read_out = ReadOut(read_out, reference.depth)
            features = backbone(image, with_attention=True,
                                with_mean_attention=read_out == 'plain')
            patches = getattr(reference, read_out)(outputs[-2], outputs, grid)
            assert features.grid == grid
            close(features.patch[0], reference.project(patches), read_out)
            close(features.cls[0], reference.project(outputs[-1][:1])[0], 'cls')
            close(features.attention[0], attentions[-1][1:, 1:], 'A_CLIP')
            if read_out == 'plain':
                close(features.mean_attention[0], mean_attention[1:, 1:], 'mean')
    reference.state['positional_embedding'] = whole_table


@torch.no_grad()
@pytest.mark.parametrize('grid, planted', [((7, 7), (0, 24, 25)), ((4, 9), (17, 35)),
                                           ((3, 3), (4, ))])
def test_tokens_with_planted_outliers(tower, grid, planted):
    backbone, reference, _ = tower
    depth, width = reference.depth, backbone.embed_dims
    number = grid[0] * grid[1]
    generator = torch.Generator().manual_seed(0)
    # what patches share, so that cosines lie around the floor of self_calibrated
    outputs = torch.randn(depth, 1 + number, width, generator=generator)
    outputs += 0.8 * torch.randn(depth, 1, width, generator=generator)
    for place in planted:
        outputs[:, 1 + place] *= 6
    arrays = outputs.double().numpy()
    x = arrays[-1]
    if number > 31:  # else the farthest two tie, and none is taken out
        assert outliers(x[1:]) == list(planted)
    for name, options in [('rcs', {}), ('rcs', dict(sigma=None)), ('procrustes', {}),
                          ('kk_gauss', dict(sigma=2.0)), ('self_calibrated', {})]:
        ours = ReadOut(dict(type=name, **options), depth)
        last = LastBlock(backbone.blocks, outputs[-1:], {
            i: outputs[i:i + 1] for i in ours.reads}, grid)
        close(ours(last)[0], getattr(reference, name)(x, arrays, grid, **options), name)


def test_outliers_among_outliers_stay():
    """Corner by corner: one with neighbours to take from, and one without."""
    x = torch.arange(1., 10).view(1, 9, 1)
    missing = torch.tensor([[1, 1, 0, 1, 1, 0, 0, 0, 0]], dtype=torch.bool)
    filled = fill_from_neighbours(x, missing, (3, 3))[0, :, 0]
    assert filled[0] == 1  # all its neighbours are missing
    assert filled[1] == pytest.approx((3 + 6) / 2)
    assert filled[4] == pytest.approx((3 + 6 + 7 + 8 + 9) / 5)
    assert filled[~missing[0]].equal(x[0, ~missing[0], 0])


def test_all_are_tested():
    assert set(NAMES) == set(READ_OUTS.module_dict)
