"""Swin's window attention with guided queries and keys (Eq. 13-14)."""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from mmseg.models.backbones.swin import ShiftWindowMSA
from torch import Tensor, nn

from ..clip.layers import attend
from ..structures import per_pair
from ..tracing import fixed


class GuidedShiftWindowMSA(ShiftWindowMSA):
    """Shifted-window attention whose queries and keys also see guidance.

    Eq. 14 makes q and k from the concatenation F_m of category maps and guidance,
    v from the category maps alone. The guidance is per image: its part of q and k is
    computed once per image by ``guide`` and added. Relative position bias,
    windows and shift are mmseg's Swin (arXiv 2103.14030). Unlike there, padding is
    masked out, so that a map smaller than a window is not diluted.

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
        self.guidance: nn.Linear | None = None
        if guidance_dims:
            self.guidance = nn.Linear(guidance_dims, 2 * embed_dims, bias=False)

    def guide(self, guidance: Tensor) -> Tensor:
        """The guidance's part of q and k.

        Args:
            guidance: [B, h, w, g].

        Returns:
            Tensor: [B, nW, L, 2d] for nW windows of L places.
        """
        assert self.guidance is not None, 'built without guidance'
        return self._to_windows(self.guidance(guidance))

    def forward(self, x: Tensor, guidance: Tensor | None, image: Tensor,
                bias: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            x: Category maps, [M, h, w, d].
            guidance: From ``guide``, or None without guidance.
            image: Image of each pair, [M].
            bias: From ``bias`` for this size, if it is there already.

        Returns:
            Tensor: [M, h, w, d].
        """
        size = (x.shape[1], x.shape[2])
        x = self._to_windows(x)
        # Eq. 14: W . F_m = W_1 . F_cv_ref + W_2 . (the guidance). Two products, since
        # the guidance is added to q and k in place.
        weight, offset = self.w_msa.qkv.weight, self.w_msa.qkv.bias
        parts = (2 * self.embed_dims, self.embed_dims)
        (qk_weight, v_weight), (qk_offset, v_offset) = (
            t.split(parts) for t in (weight, offset))
        qk = F.linear(x, qk_weight, qk_offset)
        if guidance is not None:
            qk += per_pair(guidance, image)
        v = F.linear(x, v_weight, v_offset)  # Eq. 14, V of the category maps alone
        out = self._attend(qk, v, self.bias(size) if bias is None else bias)
        return self._from_windows(self.w_msa.proj(out), size)

    @property
    def embed_dims(self) -> int:
        """int: d."""
        return self.w_msa.embed_dims

    def _attend(self, qk: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """qk [M, nW, L, 2d], v [M, nW, L, d], bias [nW or 1, heads, L, L] to v's."""
        heads = self.w_msa.num_heads
        q, k = qk.unflatten(-1, (2, heads, -1)).permute(3, 0, 1, 4, 2, 5).unbind()
        v = v.unflatten(-1, (heads, -1)).transpose(2, 3)  # [M, nW, heads, L, d / heads]
        bias = bias.to(q.dtype)
        if not fixed(*q.shape) or (bias.requires_grad and not q.is_cuda):
            # On a CPU the fused kernel has no gradient for the bias; and an export
            # leaves the number of windows open.
            scores = (q * q.shape[-1]**-0.5) @ k.transpose(-2, -1)
            scores += bias
            out = (scores.softmax(-1) @ v).transpose(2, 3)
        elif bias.shape[0] == 1:
            out = attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), bias)
            out = out.transpose(1, 2).unflatten(0, v.shape[:2])
        else:
            # Window by window: a mask of all at once would be repeated M times.
            out = torch.stack([
                attend(qi, ki, vi, b[None]).transpose(1, 2)
                for qi, ki, vi, b in zip(q.unbind(1), k.unbind(1), v.unbind(1), bias)],
                1)
        return out.flatten(3)

    def _padding(self, size: tuple[int, int]) -> list[int]:
        side = self.window_size
        return [(n + side - 1) // side * side - n for n in size]

    def _to_windows(self, x: Tensor) -> Tensor:
        """[M, h, w, c] to [M, nW, L, c]."""
        bottom, right = self._padding((x.shape[1], x.shape[2]))
        if not fixed(bottom, right) or bottom or right:
            x = F.pad(x, (0, 0, 0, right, 0, bottom))
        if self.shift_size:
            x = x.roll((-self.shift_size, -self.shift_size), (1, 2))
        return self.window_partition(x).flatten(1, 2).unflatten(0, (x.shape[0], -1))

    def _from_windows(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """[M, nW, L, c] to [M, h, w, c]."""
        side = self.window_size
        rows, columns = ((n + p) // side for n, p in zip(size, self._padding(size)))
        x = x.view(x.shape[0], rows, columns, side, side, x.shape[-1])
        x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if self.shift_size:
            x = x.roll((self.shift_size, self.shift_size), (1, 2))
        return x[:, :size[0], :size[1]]

    def bias(self, size: tuple[int, int]) -> Tensor:
        """Relative position bias and the mask of what must not meet.

        Args:
            size: h and w of the maps.

        Returns:
            Tensor: [nW, heads, L, L], or [1, heads, L, L] where nothing is masked.
        """
        table, index = (self.w_msa.relative_position_bias_table,
                        self.w_msa.relative_position_index)
        bias = table[index.flatten()].view(*index.shape, -1).permute(2, 0, 1)[None]
        padding = self._padding(size)
        if fixed(*padding) and not (self.shift_size or any(padding)):
            return bias
        # A row or column that the shift wraps around is another region; so is padding.
        kinds = []
        for n, extra in zip(size, padding):
            place = torch.arange(n + extra, device=table.device)
            kind = (place < self.shift_size).long().masked_fill(place >= n, 2)
            kinds.append(kind.roll(-self.shift_size))
        region = 3 * kinds[0][:, None] + kinds[1][None, :]
        # padding in either direction is one region of its own
        hollow = (kinds[0] == 2)[:, None] | (kinds[1] == 2)[None, :]
        region = region.masked_fill(hollow, 9)
        region = self.window_partition(region[None, :, :, None]).flatten(1)
        apart = region[:, :, None] != region[:, None, :]
        return bias.masked_fill(apart[:, None], float('-inf'))


class GuidedSwinBlock(BaseModule):
    """A Swin block with ``GuidedShiftWindowMSA``.

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

    def forward(self, x: Tensor, guidance: Tensor | None, image: Tensor, bias: Tensor
                ) -> Tensor:
        """Category maps [M, h, w, d] to the same, see ``GuidedShiftWindowMSA``."""
        x = x + self.attn(self.norm1(x), guidance, image, bias)
        return x + self.ffn(self.norm2(x))  # F_l behind the second block
