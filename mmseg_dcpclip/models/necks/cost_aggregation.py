"""Cost aggregation over all categories: what selecting them is compared with."""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..decode_heads.guided_window_attention import GuidedSwinBlock
from ..protocol import CategoryNeck, ImageEncoder
from ..structures import AlignedFeatures, CLIPFeatures, Pairs
from .cost_volume import cost_volume


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention whose cost grows with the number of keys, not with its square.

    The kernel is elu(x) + 1 (Katharopoulos et al., arXiv 2006.16236, Eq. 5 and 7).

    Args:
        q: [..., M, d].
        k: [..., K, d].
        v: [..., K, e].

    Returns:
        Tensor: [..., M, e].
    """
    q, k = F.elu(q) + 1, F.elu(k) + 1
    weight = (q @ k.sum(-2)[..., None]).clamp(min=1e-6)
    return q @ (k.transpose(-2, -1) @ v) / weight


class ClassAttentionBlock(BaseModule):
    """At each place the categories of an image look at each other.

    Args:
        dims: d, width of the category maps.
        guidance_dims: Width of the words' guidance.
        num_heads: Heads; must divide d.
        mlp_ratio: Hidden width of the MLP as a multiple of d.
    """

    def __init__(self, dims: int, guidance_dims: int, num_heads: int,
                 mlp_ratio: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dims)
        self.qk = nn.Linear(dims + guidance_dims, 2 * dims)
        self.v = nn.Linear(dims, dims)
        self.proj = nn.Linear(dims, dims)
        self.norm2 = nn.LayerNorm(dims)
        self.ffn = FFN(dims, int(mlp_ratio * dims), act_cfg=dict(type='GELU'),
                       add_identity=False)

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """Attend.

        Args:
            x: Category maps of one image, [C, h, w, d].
            guidance: Of the words, [C, g].

        Returns:
            Tensor: [C, h, w, d].
        """
        tokens = self.norm1(x)
        words = guidance[:, None, None].expand(*x.shape[:3], -1)
        qk = self.qk(torch.cat([tokens, words], -1))
        # [h, w, heads, C, d / heads]
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).permute(1, 2, 3, 0, 4)
                   for t in (*qk.chunk(2, -1), self.v(tokens)))
        z = linear_attention(q, k, v).permute(3, 0, 1, 2, 4).flatten(3)
        x = x + self.proj(z)
        return x + self.ffn(self.norm2(x))


@MODELS.register_module()
class CostAggregation(CategoryNeck):
    """Aggregates the cost volume over space and over all categories.

    The design of CAT-Seg (arXiv 2303.11797, Sec. 3.2 to 3.4) in its plain form: every
    layer has two Swin blocks guided by the image and one attention between the
    categories guided by the words. With a selection that takes every word it is the
    baseline of cost aggregation: it pays for each word.

    Args:
        embed_dims: D, width of CLIP's joint space. In a DCPCLIP the backbone decides
            it, and the text encoder ``num_templates``.
        num_templates: P.
        cost_dims: Width of the category maps.
        guidance_dims: Width of the image's and of the words' guidance.
        num_layers: Layers.
        num_heads: Heads of both attentions.
        window_size: Side of the Swin blocks' windows.
        kernel_size: Of the conv on the cost volume.
        mlp_ratio: Of all MLPs.
        cost_scale: Factor on the cosines, see ``TextGuidedAlignment``.
        init_cfg: As in mmengine.
    """
    needs_all = True

    def __init__(self,
                 embed_dims: int = 512,
                 num_templates: int = 80,
                 cost_dims: int = 128,
                 guidance_dims: int = 128,
                 num_layers: int = 2,
                 num_heads: int = 4,
                 window_size: int = 12,
                 kernel_size: int = 7,
                 mlp_ratio: float = 4,
                 cost_scale: float = 10.0,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.cost_dims = cost_dims
        self.cost_scale = cost_scale
        self.cost_conv = nn.Conv2d(num_templates, cost_dims, kernel_size,
                                   padding=kernel_size // 2)
        self.image_projection = nn.Linear(embed_dims, guidance_dims)
        self.word_projection = nn.Linear(embed_dims, guidance_dims)
        self.spatial = ModuleList(
            GuidedSwinBlock(cost_dims, guidance_dims, num_heads, window_size, shift,
                            mlp_ratio)
            for _ in range(num_layers) for shift in (False, True))
        self.between = ModuleList(
            ClassAttentionBlock(cost_dims, guidance_dims, num_heads, mlp_ratio)
            for _ in range(num_layers))

    @classmethod
    def sizes(cls, backbone: ImageEncoder, num_templates: int) -> dict[str, int]:
        """The width of the joint space and the number of prompts."""
        return dict(embed_dims=backbone.joint_dims, num_templates=num_templates)

    def forward(self, features: CLIPFeatures, text: Tensor, pairs: Pairs,
                prepared: None = None) -> AlignedFeatures:
        """Aggregate.

        Args:
            features: CLIP's view of B images.
            text: Unit embeddings of the pairs' categories, [M, P, D].
            pairs: All M pairs of these images.
            prepared: Nothing is.

        Returns:
            AlignedFeatures: Maps on the grid of the patches.
        """
        volume = cost_volume(features, text, pairs)
        cost = self.cost_conv(self.cost_scale * volume)
        root = text.shape[-1]**0.5  # unit vectors to entries of order 1
        words = self.word_projection(F.normalize(text.mean(1), dim=-1) * root)
        patch = F.normalize(features.patch, dim=-1) * root
        scene = self.image_projection(patch).unflatten(1, features.grid)
        x = cost.permute(0, 2, 3, 1)
        for i, between in enumerate(self.between):
            for block in self.spatial[2 * i:2 * i + 2]:
                x = block(x, block.attn.guide(scene), pairs.image,
                          block.attn.bias(features.grid))
            x = torch.cat([between(*one) for one in zip(
                x.split(pairs.counts), words.split(pairs.counts))])
        return AlignedFeatures(volume.mean(1, keepdim=True), cost,
                               x.permute(0, 3, 1, 2))
