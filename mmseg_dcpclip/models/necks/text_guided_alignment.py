"""Text-guided alignment (Sec. III-B, Eq. 6-12)."""

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule, ModuleList
from mmengine.model.weight_init import trunc_normal_
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..clip.layers import attend, join_heads, split_heads
from ..protocol import CategoryNeck, ImageEncoder
from ..structures import AlignedFeatures, CLIPFeatures, Pairs, per_pair
from .competition import log_shares, rival_logits
from .cost_volume import cost_volume

Prepared = tuple[Tensor | None, Tensor | None]


def _mean_of(text: Tensor) -> Tensor:
    """Unit embeddings averaged over the templates, [M, D]."""
    return F.normalize(text.mean(1), dim=-1)


class TextualGuidance(BaseModule):
    """T_g of Eq. 7: embeddings adjusted to the image.

    Args:
        dims: D, width of the joint space.
        cls: How F_cls . E_SC enters: ``'product'`` element by element (D values, as
            in ZegCLIP, arXiv 2212.03588), ``'logit'`` their sum (one value), or None.
        prompt: Whether to add the learnable prompt P, one vector for all categories.
    """

    def __init__(self, dims: int, cls: str | None = 'product',
                 prompt: bool = True) -> None:
        super().__init__()
        if cls not in ('product', 'logit', None):
            raise ValueError("guidance_cls must be 'product', 'logit' or None, got "
                             f'{cls!r}')
        self.cls = cls
        width = dims + {'product': dims, 'logit': 1, None: 0}[cls]
        if prompt:
            self.prompt = nn.Parameter(torch.zeros(dims))
            width += dims
        else:
            self.register_parameter('prompt', None)
        self.projection = nn.Linear(width, dims)

    def init_weights(self) -> None:
        if self.prompt is not None:
            trunc_normal_(self.prompt, std=0.02)

    def forward(self, cls: Tensor, text: Tensor, image: Tensor) -> Tensor:
        """Build the guidance.

        Args:
            cls: [B, D], entries of order 1.
            text: [M, D], entries of order 1.
            image: Image of each pair, [M].

        Returns:
            Tensor: [M, D].
        """
        parts = [text]
        if self.cls is not None:
            product = per_pair(cls, image) * text
            parts.insert(0, product if self.cls == 'product' else product.mean(
                -1, keepdim=True))
        if self.prompt is not None:
            parts.append(self.prompt.to(text.dtype).expand_as(text))
        return self.projection(torch.cat(parts, dim=-1))  # Eq. 7, T_g


class CrossAttentionLayer(BaseModule):
    """Patches look at the guidance of their image's categories (Eq. 8-10).

    Args:
        dims: D.
        num_heads: Heads; the paper's formula has one.
        mlp_ratio: Hidden width of the MLP as a multiple of D.
    """

    def __init__(self, dims: int, num_heads: int = 1, mlp_ratio: float = 4) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value = (nn.Linear(dims, dims) for _ in range(3))
        self.norm1 = nn.LayerNorm(dims)
        self.ffn = FFN(dims, int(mlp_ratio * dims), act_cfg=dict(type='GELU'))
        self.norm2 = nn.LayerNorm(dims)

    def forward(self, patch: Tensor, guidance: Tensor, pairs: Pairs) -> Tensor:
        """Attend.

        Args:
            patch: F_patch, [B, N, D].
            guidance: T_g, [M, D].
            pairs: M pairs.

        Returns:
            Tensor: F_patch_ref, [B, N, D].
        """
        valid = pairs.valid
        guidance = (guidance[None] if valid is None
                    else guidance.view(*valid.shape, guidance.shape[-1]))
        # Eq. 8
        q, k, v = (split_heads(proj(x), self.num_heads) for proj, x in (
            (self.query, patch), (self.key, guidance), (self.value, guidance)))
        if valid is None:
            # Eq. 9, Z; images differ in their number of keys: one call each
            z = torch.cat([attend(qi[None], ki, vi) for qi, ki, vi in zip(
                q, k.split(pairs.counts, dim=2), v.split(pairs.counts, dim=2))])
        else:
            hidden = torch.zeros_like(valid, dtype=q.dtype).masked_fill(
                ~valid, -torch.inf)
            z = attend(q, k, v, hidden[:, None, None])  # Eq. 9, Z
        x = self.norm1(join_heads(z) + patch)  # Eq. 9, X
        return self.norm2(self.ffn(x))  # Eq. 10; FFN adds its input


class CostSelfAttention(BaseModule):
    """Places of one category's cost map look at each other (Eq. 11-12).

    The concatenation of Eq. 11 is never built: a linear layer on it is the sum of
    one layer per category and one layer per image.

    Args:
        dims: D_c.
        num_heads: Heads; must divide D_c.
        mlp_ratio: Hidden width of the MLP as a multiple of D_c.
    """

    def __init__(self, dims: int, num_heads: int = 4, mlp_ratio: float = 4) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dims, 3 * dims)
        self.qkv_image = nn.Linear(dims, 3 * dims, bias=False)
        self.norm1 = nn.LayerNorm(dims)
        self.ffn = FFN(dims, int(mlp_ratio * dims), act_cfg=dict(type='GELU'))
        self.norm2 = nn.LayerNorm(dims)

    def forward(self, cost: Tensor, image_tokens: Tensor, image: Tensor) -> Tensor:
        """Attend.

        Args:
            cost: F_cv, [M, N, D_c].
            image_tokens: phi(F_patch_ref), [B, N, D_c].
            image: Image of each pair, [M].

        Returns:
            Tensor: F_cv_ref, [M, N, D_c].
        """
        # Eq. 11 and 12: W . F_concat = W_1 . F_cv + W_2 . phi(F_patch_ref)
        qkv = self.qkv(cost)
        qkv += per_pair(self.qkv_image(image_tokens), image)
        q, k, v = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(
            2, 0, 3, 1, 4).unbind()
        z = attend(q, k, v)  # as Eq. 9 and 10
        x = self.norm1(join_heads(z) + cost)
        return self.norm2(self.ffn(x))


@MODELS.register_module()
class TextGuidedAlignment(CategoryNeck):
    """Aligns patches and selected categories (Eq. 6-12).

    Args:
        embed_dims: D, width of CLIP's joint space. In a DCPCLIP the backbone decides
            it, and the text encoder ``num_templates``.
        num_templates: P, prompts per category: input channels of Eq. 6's conv.
        cost_dims: D_c.
        kernel_size: Of Eq. 6's conv.
        cost_scale: Factor on the cosines in front of that conv: they lie close
            together, and the conv learns faster from values of order 1.
        cross_attention: The branch of Eq. 7-10 (CA in Table IV).
        self_attention: The branch of Eq. 11-12 (SA in Table IV). Without it and with
            CA, the concatenation of Eq. 11 goes through one linear layer.
        num_cross_layers: N_c.
        num_cross_heads: Heads of the cross-attention.
        num_self_heads: Heads of the self-attention.
        mlp_ratio: Hidden width of both MLPs.
        guidance_cls: ``'product'``, ``'logit'`` or None (Table V).
        guidance_prompt: The learnable prompt (Table V).
        competition: Factor on the cosines in a softmax over an image's selected
            categories, whose logarithm Eq. 6's conv sees as one more input, not in the
            paper; 0: without.
        init_cfg: As in mmengine.
    """
    takes_filled_up = True

    def __init__(self,
                 embed_dims: int = 512,
                 num_templates: int = 80,
                 cost_dims: int = 48,
                 kernel_size: int = 3,
                 cost_scale: float = 10.0,
                 cross_attention: bool = True,
                 self_attention: bool = True,
                 num_cross_layers: int = 1,
                 num_cross_heads: int = 1,
                 num_self_heads: int = 2,
                 mlp_ratio: float = 4,
                 guidance_cls: str | None = 'product',
                 guidance_prompt: bool = True,
                 competition: float = 0.0,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.num_templates = num_templates
        self.cost_dims = cost_dims
        self.cost_scale = cost_scale
        self.cost_conv = nn.Conv2d(num_templates, cost_dims, kernel_size,
                                   padding=kernel_size // 2)
        self.competition = competition
        # one more input of that conv
        self.share_conv = nn.Conv2d(
            1, cost_dims, kernel_size, padding=kernel_size // 2, bias=False
            ) if competition else None
        self.guidance: TextualGuidance | None = None
        self.cross_layers: ModuleList | None = None
        if cross_attention:
            self.guidance = TextualGuidance(embed_dims, guidance_cls, guidance_prompt)
            self.cross_layers = ModuleList(
                CrossAttentionLayer(embed_dims, num_cross_heads, mlp_ratio)
                for _ in range(num_cross_layers))
        self.image_projection: nn.Linear | None = None
        self.self_layer: CostSelfAttention | None = None
        self.fusion: nn.Linear | None = None
        if cross_attention or self_attention:
            self.image_projection = nn.Linear(embed_dims, cost_dims)
        if self_attention:
            self.self_layer = CostSelfAttention(cost_dims, num_self_heads, mlp_ratio)
        elif cross_attention:
            self.fusion = nn.Linear(cost_dims, cost_dims)

    @classmethod
    def sizes(cls, backbone: ImageEncoder, num_templates: int) -> dict[str, Any]:
        """The width of the joint space and the number of prompts."""
        return dict(embed_dims=backbone.joint_dims, num_templates=num_templates)

    def forward(self, features: CLIPFeatures, text: Tensor, pairs: Pairs,
                prepared: Prepared | None = None) -> AlignedFeatures:
        """Align.

        Args:
            features: CLIP's view of B images.
            text: E_SC, unit embeddings of the selected categories, [M, P, D].
            pairs: M pairs.
            prepared: What ``prepare`` gave for all pairs of these images, where
                ``pairs`` are only some of them.

        Returns:
            AlignedFeatures: Maps on the grid of the patches.

        Raises:
            ValueError: P is not ``num_templates``.
        """
        if text.shape[1] != self.num_templates:
            raise ValueError(
                f'the neck expects {self.num_templates} templates per category and got '
                f'{text.shape[1]}: set neck.num_templates to the number of '
                'text_encoder.templates')
        if prepared is None:
            prepared = self.prepare(features, _mean_of(text), pairs)
        image_tokens, rivals = prepared
        volume = cost_volume(features, text, pairs)
        cost = self.cost_conv(self.cost_scale * volume)  # Eq. 6, F_cv
        if self.share_conv is not None and rivals is not None:
            cost = cost + self.share_conv(
                log_shares(features, _mean_of(text), pairs, self.competition, rivals))
        refined = cost
        if image_tokens is not None:
            tokens = cost.flatten(2).transpose(1, 2)
            if self.self_layer is not None:
                tokens = self.self_layer(tokens, image_tokens, pairs.image)  # Eq. 11-12
            elif self.fusion is not None:  # one linear layer on Eq. 11, split in two
                tokens = self.fusion(tokens) + per_pair(image_tokens, pairs.image)
            refined = tokens.transpose(1, 2).unflatten(2, features.grid)
        return AlignedFeatures(volume.mean(1, keepdim=True), cost, refined)

    def prepare(self, features: CLIPFeatures, mean: Tensor, pairs: Pairs) -> Prepared:
        """All that the categories of an image share.

        Args:
            features: CLIP's view of B images.
            mean: Unit embeddings averaged over the templates, [M, D].
            pairs: All M pairs of these images.

        Returns:
            tuple: Patches after Eq. 7-10 at width D_c, phi(F_patch_ref) of Eq. 11,
            [B, N, D_c], None where neither branch is there; and ``rival_logits``
            [B, h, w], None without competition.
        """
        rivals = rival_logits(features, mean, pairs, self.competition
                              ) if self.competition else None
        if self.image_projection is None:
            return None, rivals
        root = features.cls.shape[-1]**0.5  # unit vectors to entries of order 1
        patch = F.normalize(features.patch, dim=-1) * root
        if self.cross_layers is not None and self.guidance is not None:
            cls = F.normalize(features.cls, dim=-1) * root
            guidance = self.guidance(cls, mean.to(cls.dtype) * root, pairs.image)
            for layer in self.cross_layers:  # Eq. 8-10, N_c times
                patch = layer(patch, guidance, pairs)
        return self.image_projection(patch), rivals  # Eq. 11, phi
