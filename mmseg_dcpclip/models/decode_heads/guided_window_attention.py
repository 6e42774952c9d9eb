"""Swin's window attention with guided queries and keys (Eq. 13-14)."""


import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from mmseg.models.backbones.swin import ShiftWindowMSA
from torch import Tensor, nn


class GuidedShiftWindowMSA(ShiftWindowMSA):
    """Shifted-window attention whose queries and keys also see guidance.

    Eq. 14 makes q and k from the concatenation F_m of category maps and guidance,
    v from the category maps alone. The guidance is per image: its part of q and k is
    computed once per image and added. Relative position bias, windows and shift are
    mmseg's Swin (arXiv 2103.14030). Unlike there, padding is masked out, so that a
    map smaller than a window is not diluted.

    Args:
        embed_dims: d, width of the category maps.
        guidance_dims: Width of the guidance; 0 for plain Swin attention.
        num_heads: Heads; must divide d.
        window_size: Side of a window.
        shift_size: Shift of the windows; 0 for none.
    """

    def __init__(self, embed_dims: int, guidance_dims: int, num_heads: int,
                 window_size: int, shift_size: int = 0) -> None:
        super().__init__(embed_dims, num_heads, window_size, shift_size)
        self.guidance = None
        if guidance_dims:
            self.guidance = nn.Linear(guidance_dims, 2 * embed_dims, bias=False)

    def forward(self, x: Tensor, guidance: Tensor | None, image: Tensor) -> Tensor:
        """Attend.

        Args:
            x: Category maps, [M, h, w, d].
            guidance: [B, h, w, g], or None without guidance.
            image: Image of each pair, [M].

        Returns:
            Tensor: [M, h, w, d].
        """
        height, width = x.shape[1:3]
        qkv = self.w_msa.qkv(x)
        if self.guidance is not None:
            extra = F.pad(self.guidance(guidance), (0, x.shape[-1]))  # none for v
            # index_select: its backward is far faster than that of indexing
            qkv = qkv + extra.index_select(0, image)

        pad = [-n % self.window_size for n in (height, width)]
        if any(pad):
            qkv = F.pad(qkv, (0, 0, 0, pad[1], 0, pad[0]))
        padded = qkv.shape[1:3]
        if self.shift_size:
            qkv = qkv.roll((-self.shift_size, -self.shift_size), (1, 2))
        windows = self.window_partition(qkv).flatten(1, 2)  # [M * nW, L, 3d]
        out = self._attend(windows, self._bias((height, width), padded), len(x))
        out = out.unflatten(1, (self.window_size, self.window_size))
        out = self.window_reverse(out, *padded)
        if self.shift_size:
            out = out.roll((self.shift_size, self.shift_size), (1, 2))
        return self.w_msa.proj(out[:, :height, :width])

    def _attend(self, windows: Tensor, bias: Tensor, num_maps: int) -> Tensor:
        """[M * nW, L, 3d] to [M * nW, L, d]; bias [nW, heads, L, L]."""
        heads = self.w_msa.num_heads
        qkv = windows.unflatten(0, (num_maps, -1)).unflatten(-1, (3, heads, -1))
        # Windows and heads form one axis: four dimensions take the fast kernels.
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
        out = F.scaled_dot_product_attention(q, k, v, bias.flatten(0, 1).to(q.dtype))
        out = out.unflatten(1, (-1, heads)).transpose(2, 3)
        return out.flatten(3).flatten(0, 1)

    def _bias(self, size: tuple[int, int], padded: tuple[int, int]) -> Tensor:
        """Relative position bias plus mask of what must not meet, [nW, heads, L, L]."""
        table, index = (self.w_msa.relative_position_bias_table,
                        self.w_msa.relative_position_index)
        bias = table[index.flatten()].view(*index.shape, -1).permute(2, 0, 1)
        # A row or column that the shift wraps around is another region; so is padding.
        kinds = []
        for n, full in zip(size, padded):
            place = torch.arange(full, device=table.device)
            kind = (place < self.shift_size).long()
            kind[place >= n] = 2
            kinds.append(kind.roll(-self.shift_size))
        region = 3 * kinds[0][:, None] + kinds[1][None, :]
        # padding in either direction is one region of its own
        hollow = (kinds[0] == 2)[:, None] | (kinds[1] == 2)[None, :]
        region = region.masked_fill(hollow, 9)
        region = self.window_partition(region[None, :, :, None]).flatten(1)
        apart = region[:, :, None] != region[:, None, :]
        return bias[None].masked_fill(apart[:, None], float('-inf'))


class GuidedSwinBlock(BaseModule):
    """A Swin block with :class:`GuidedShiftWindowMSA`.

    Args:
        embed_dims: d.
        guidance_dims: Width of the guidance.
        num_heads: Heads.
        window_size: Side of a window.
        shift: Whether to shift by half a window.
        mlp_ratio: Hidden width of the MLP as a multiple of d.
    """

    def __init__(self, embed_dims: int, guidance_dims: int, num_heads: int,
                 window_size: int, shift: bool, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dims)
        self.attn = GuidedShiftWindowMSA(embed_dims, guidance_dims, num_heads,
                                         window_size, window_size // 2 if shift else 0)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.ffn = FFN(embed_dims, int(mlp_ratio * embed_dims),
                       act_cfg=dict(type='GELU'), add_identity=False)

    def forward(self, x: Tensor, guidance: Tensor | None, image: Tensor) -> Tensor:
        """Category maps [M, h, w, d] and guidance [B, h, w, g] to [M, h, w, d]."""
        x = x + self.attn(self.norm1(x), guidance, image)
        return x + self.ffn(self.norm2(x))
