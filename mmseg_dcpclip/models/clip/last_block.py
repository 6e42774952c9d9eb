"""The last block of a CLIP ViT, open for those who read patches out of it."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .affinity import weigh
from .layers import attend, attention_weights, join_heads, split_heads


class LastBlock:
    """What a read-out sees of one batch: the last block and the tokens before it.

    Args:
        blocks: All blocks of the ViT, their attentions ``CLIPAttention``.
        x: Tokens that enter the last one, [CLS] first, [B, 1 + N, W].
        outputs: Tokens behind earlier blocks, by the number of blocks they went
            through; those that the read-out asked for.
        grid: Rows and columns of patches; their product is N.
        proxy: Weights between patches from elsewhere, [B, N, N]; see ``attend``.
        proxy_share: How much they count, up to 1.

    Attributes:
        block: The last block.
        h: ``x`` behind its first norm.
        k: Keys of ``h`` per head, [B, heads, 1 + N, d].
        v: Values of ``h``, likewise.
    """

    def __init__(self, blocks: Any, x: Tensor, outputs: Mapping[int, Tensor],
                 grid: tuple[int, int], proxy: Tensor | None = None,
                 proxy_share: float = 1.0) -> None:
        self.blocks = blocks
        self.block = blocks[-1]
        self.x = x
        self.outputs = outputs
        self.grid = grid
        self.proxy = proxy
        self.proxy_share = proxy_share
        self.h = self.block.ln_1(x)
        self.k = self.heads('k', self.h)
        self.v = self.heads('v', self.h)

    def heads(self, kind: str, h: Tensor, block: Any = None) -> Tensor:
        """Queries, keys or values of normed tokens.

        Args:
            kind: ``'q'``, ``'k'`` or ``'v'``.
            h: Tokens behind the block's first norm, [B, L, W].
            block: In place of the last one.

        Returns:
            Tensor: [B, heads, L, d].
        """
        attention = (self.block if block is None else block).attn
        return split_heads(getattr(attention, f'{kind}_proj')(h), attention.num_heads)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None,
               scale: float | None = None) -> Tensor:
        """The attention of a read-out, in whose place a proxy stands if there is one.

        Args:
            q: Of the patches, [B, heads, N, d].
            k: Of the patches, or of [CLS] and the patches, [B, heads, S, d].
            v: Likewise.
            bias: Added to the scores, [N, S].
            scale: Of the scores; None: 1 / sqrt(d).

        Returns:
            Tensor: (1 - share) softmax(q k^T scale + bias) v + share proxy v,
            [B, heads, N, d].
        """
        if self.proxy is None:
            return attend(q, k, v, bias, scale)
        number = q.shape[2]
        seen = weigh(self.proxy, v[:, :, v.shape[2] - number:])
        if self.proxy_share == 1:
            return seen
        own = attend(q, k, v, bias, scale)
        return (1 - self.proxy_share) * own + self.proxy_share * seen

    def out(self, values: Tensor) -> Tensor:
        """Output projection over the joined heads, [B, heads, N, d] to [B, N, W]."""
        return self.block.ls_1(self.block.attn.out_proj(join_heads(values)))

    def add_mlp(self, y: Tensor) -> Tensor:
        """y + mlp(ln_2(y)), [B, L, W]."""
        return y + self.block.ls_2(self.block.mlp(self.block.ln_2(y)))

    def class_token(self, with_attention: bool) -> tuple[Tensor, Tensor | None]:
        """[CLS] behind the block as it is; only this row of it is computed.

        Args:
            with_attention: Also give the block's own attention, of all rows.

        Returns:
            tuple: [B, W], and attention averaged over heads [B, 1 + N, 1 + N] or None.
        """
        attention = None
        if with_attention:
            weights = attention_weights(self.heads('q', self.h), self.k)
            attention = weights.mean(1)
            values = weights[:, :, :1] @ self.v
        else:
            values = attend(self.heads('q', self.h[:, :1]), self.k, self.v)
        return self.add_mlp(self.x[:, :1] + self.out(values))[:, 0], attention


def with_class_column(bias: Tensor) -> Tensor:
    """A bias between patches [N, N] with a 0 for [CLS], [N, 1 + N]."""
    return F.pad(bias, (1, 0))
