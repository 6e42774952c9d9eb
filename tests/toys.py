"""Tiny models and data that several tests share."""

import os
import shutil

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_dcpclip.models.structures import CLIPFeatures, Pairs

TORCH = tuple(int(n) for n in torch.__version__.split('.')[:2])
# Its compiler stops at open_clip's modules ('NNModuleVariable has no get_name').
can_compile = pytest.mark.skipif(TORCH < (2, 2), reason='torch 2.1 cannot compile this')
# Its inductor backend builds C++.
can_build = pytest.mark.skipif(
    not any(map(shutil.which, (os.environ.get('CXX', 'g++'), 'clang++'))),
    reason='no C++ compiler')
WORDS = ['red dots', 'blue stripes', 'green grid', 'white bars', 'pink crosses']
MINI = dict(model_name='mini-ViT-8', pretrained=None)


def toy_model_config(**changes) -> dict:
    """A DCPCLIP on a random mini CLIP, small enough for any test."""
    config = dict(
        type='DCPCLIP',
        data_preprocessor=dict(type='OpenVocabDataPreProcessor', mean=[120.] * 3,
                               std=[60.] * 3, bgr_to_rgb=True),
        backbone=dict(type='CLIPVisionBackbone', out_indices=(1, 3), **MINI),
        text_encoder=dict(type='CLIPTextEncoder', templates=['{}', 'some {}'], **MINI),
        selection=dict(theta=0.5),
        neck=dict(type='TextGuidedAlignment', embed_dims=128, num_templates=2,
                  cost_dims=16, kernel_size=3, num_self_heads=2, mlp_ratio=1),
        decode_head=dict(type='SpatialEnhancedDecoder', cost_dims=16, shallow_dims=128,
                         window_size=3, attention_grid=4, similarity_dims=(4, 2),
                         guidance_dims=(6, 4),
                         skip_dims=(4, 4), num_heads=(2, 2), mlp_ratio=1),
        vocabulary=WORDS,
        ignore_index=255)
    config.update(changes)
    return config


def toy_model(seed: int = 0, **changes):
    """Build ``toy_model_config`` with weights of a seed."""
    torch.manual_seed(seed)
    model = MODELS.build(toy_model_config(**changes))
    model.init_weights()
    return model


def toy_samples(sizes, num_classes: int = len(WORDS), seed: int = 0) -> dict:
    """Raw images and labels as a dataloader hands them over."""
    generator = torch.Generator().manual_seed(seed)
    data = dict(inputs=[], data_samples=[])
    for height, width in sizes:
        data['inputs'].append(torch.randint(
            0, 256, (3, height, width), generator=generator, dtype=torch.uint8))
        label = torch.randint(0, num_classes, (1, height, width), generator=generator)
        sample = SegDataSample(gt_sem_seg=PixelData(data=label))
        sample.set_metainfo(dict(ori_shape=(height, width), img_shape=(height, width)))
        data['data_samples'].append(sample)
    return data


def toy_forms(size=(32, 40)) -> dict:
    """A picture, it flipped, and it larger, as TestTimeAug hands them over."""
    image = toy_samples([size])['inputs'][0]
    larger = torch.nn.functional.interpolate(image[None].float(), (48, 56))[0].byte()
    forms, metas = [image, image.flip(2), larger], [
        {}, dict(flip=True, flip_direction='horizontal'), {}]
    data = dict(inputs=[], data_samples=[])
    for form, meta in zip(forms, metas):
        sample = toy_samples([size])['data_samples'][0]
        sample.set_metainfo(dict(ori_shape=size, img_path='a.png', **meta))
        data['inputs'].append([form])
        data['data_samples'].append([sample])
    return data


def toy_features(batch: int = 2, dims: int = 8, grid=(4, 5), width: int = 6,
                 shallow: int = 2) -> CLIPFeatures:
    """Random CLIP features that want gradients."""
    n = grid[0] * grid[1]
    attention = torch.rand(batch, n, n).softmax(-1)
    return CLIPFeatures(
        cls=torch.randn(batch, dims, requires_grad=True),
        patch=torch.randn(batch, n, dims, requires_grad=True), grid=grid,
        shallow=tuple(torch.randn(batch, width, *grid, requires_grad=True)
                      for _ in range(shallow)),
        attention=attention.requires_grad_())


def toy_pairs(counts=(3, 1)) -> Pairs:
    """The first categories for each image, e.g. 3 for the first and 1 for the next."""
    mask = torch.zeros(len(counts), max(counts), dtype=torch.bool)
    for i, count in enumerate(counts):
        mask[i, :count] = True
    return Pairs.from_mask(mask)


def assert_all_gradients(module: torch.nn.Module) -> None:
    """Every trained parameter has a gradient (as DDP requires), none is NaN."""
    bad = [name for name, p in module.named_parameters() if p.requires_grad
           and (p.grad is None or not torch.isfinite(p.grad).all())]
    assert not bad, bad


class ToyLoader(list):
    """Batches and the dataset that they come from."""

    def __init__(self, *batches, ignore_index=255):
        super().__init__(batches)
        self.dataset = self
        self.ignore_index = ignore_index
