"""[CLS] of regions against one region at a time, attention written plainly."""

import pytest
import torch
from toys import WORDS, toy_model

from mmseg_dcpclip.models import TagValidation
from mmseg_dcpclip.models.regions import region_patches


def plain_region_cls(backbone, image, patches):
    """One region, in float64: [CLS] sees itself and some patches."""
    x = backbone._patches(image)
    x = backbone._embed(x, x.shape[-2:])
    cls = x[0, :1]
    for block in backbone.blocks:
        attn, normed = block.attn, block.ln_1(x)[0]
        own = block.ln_1(cls)
        seen = torch.cat([own, normed[1:][patches]])
        heads = []
        for q, k, v in zip(*(part.chunk(attn.num_heads, -1) for part in (
                attn.q_proj(own), attn.k_proj(seen), attn.v_proj(seen)))):
            heads.append((q @ k.T / q.shape[-1]**0.5).softmax(-1) @ v)
        cls = cls + attn.out_proj(torch.cat(heads, -1))
        cls = cls + block.mlp(block.ln_2(cls))
        x = block(x)
    return backbone._project(cls)[0]


@torch.no_grad()
@pytest.mark.parametrize('size', [(32, 32), (24, 56)])
def test_equals_one_region_at_a_time(size):
    backbone = toy_model(seed=1).double().eval().backbone
    for block in backbone.blocks:  # as if trained
        for proj in (block.attn.q_proj, block.attn.v_proj):
            proj.weight += 0.1 * torch.randn_like(proj.weight)
    image = torch.randn(1, 3, *size, dtype=torch.float64)
    seg_map = torch.randint(0, 3, size) * 2
    seg_map[:8, :16], seg_map[-8:, -8:] = 2, 4
    categories = seg_map.unique()
    result = backbone.region_cls(image, seg_map, categories)
    regions = region_patches(seg_map, categories, (size[0] // 8, size[1] // 8))
    for region, feature in zip(regions, result, strict=True):
        torch.testing.assert_close(feature, plain_region_cls(backbone, image, region))


def test_patches_of_regions():
    seg_map = torch.zeros(8, 8, dtype=torch.long)
    seg_map[:, 4:], seg_map[0, 0] = 1, 5
    found = region_patches(seg_map, torch.tensor([0, 1, 5]), (2, 2))
    assert found.tolist() == [[True, False, True, False], [False, True, False, True],
                              [True, False, False, False]]
    # half a patch is enough
    halves = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    assert region_patches(halves, torch.tensor([0, 1]), (1, 2)).tolist() == [
        [True, False], [True, True]]


@torch.no_grad()
@pytest.mark.parametrize('test_cfg', [
    dict(mode='whole'), dict(mode='slide', crop_size=(24, 24), stride=(16, 16))])
def test_the_model_hands_it_over(test_cfg):
    model = toy_model(seed=1, test_cfg=test_cfg | dict(return_features=True)).eval()
    images = torch.randn(1, 3, 40, 40)
    before = model.predict(images)[0]
    model.tag_validation = TagValidation([], top_k=1, region='cls')
    after = model.predict(images)[0].pred_sem_seg.data[0]
    picture, old = before.encoder_input.data, before.pred_sem_seg.data[0]
    text = model.text_embeddings().mean
    for category in old.unique():
        patches = region_patches(old, category[None],
                                 tuple(n // 8 for n in picture.shape[-2:]))[0]
        feature = plain_region_cls(model.backbone, picture[None], patches)
        assert (after[old == category] == (text @ feature).argmax()).all()


def test_what_cannot_do_it_is_refused():
    model = toy_model()

    class Convolutions(torch.nn.Module):
        pass
    model.backbone = Convolutions()
    with pytest.raises(ValueError, match="Convolutions has no .CLS.*region='mean'"):
        model.tag_validation = TagValidation(WORDS, region='cls')
    for bad in (dict(region='crop'), dict(candidates='some')):
        with pytest.raises(ValueError, match=next(iter(bad))):
            TagValidation(WORDS, **bad)
