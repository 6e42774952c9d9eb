"""What this project changes inside open_clip's transformer blocks.

- ``CLIPAttention`` keeps q, k and v apart, so that q and v can be trained
  while k stays frozen (as CAT-Seg, arXiv 2303.11797, fine-tunes CLIP).
- ``CLIPActivation`` is the activation of the MLPs, which weights can switch.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from ..tracing import fixed


class CLIPAttention(nn.Module):
    """Multi-head self-attention with separate q, k and v projections.

    It is called as ``nn.MultiheadAttention`` (batch first) by open_clip's blocks.

    Args:
        dims: Width of the tokens.
        num_heads: Heads; must divide ``dims``.
    """

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dims, dims)
        self.k_proj = nn.Linear(dims, dims)
        self.v_proj = nn.Linear(dims, dims)
        self.out_proj = nn.Linear(dims, dims)

    def forward(self, query: Tensor, key: Tensor, value: Tensor,
                need_weights: bool = False, attn_mask: Tensor | None = None
                ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            query: [B, L, dims].
            key: [B, S, dims].
            value: [B, S, dims].
            need_weights: Also return the attention; slower.
            attn_mask: Additive mask [L, S].

        Returns:
            tuple: Tokens [B, L, dims], and attention averaged over heads [B, L, S]
            or None.
        """
        q, k, v = (split_heads(proj(x), self.num_heads) for proj, x in (
            (self.q_proj, query), (self.k_proj, key), (self.v_proj, value)))
        if not need_weights:
            return self.out_proj(join_heads(attend(q, k, v, attn_mask))), None
        weights = attention_weights(q, k, attn_mask)
        return self.out_proj(join_heads(weights @ v)), weights.mean(1)


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Where products on the device of ``x`` keep the dtype of their factors."""
    kind = x.device.type
    return nullcontext() if kind == 'meta' else torch.autocast(kind, enabled=False)


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32, all else as it is."""
    return x if x.dtype == torch.float64 else x.float()


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """[B, L, dims] to [B, heads, L, dims / heads]."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[B, heads, L, d] to [B, L, heads * d]."""
    return x.transpose(1, 2).flatten(2)


def attention_weights(q: Tensor, k: Tensor, bias: Tensor | None = None,
                      scale: float | None = None) -> Tensor:
    """softmax(q k^T scale + bias).

    Args:
        q: Queries per head, [B, heads, L, d].
        k: Keys per head, [B, heads, S, d].
        bias: Added to the scores, [L, S], or as broadcast to [B, heads, L, S].
        scale: None: 1 / sqrt(d).

    Returns:
        Tensor: [B, heads, L, S].
    """
    scores = q @ k.transpose(-2, -1) * (q.shape[-1]**-0.5 if scale is None else scale)
    return (scores if bias is None else scores + bias).softmax(-1)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None,
           scale: float | None = None) -> Tensor:
    """``attention_weights`` applied to values, by the fused kernel.

    Under ``torch.jit.trace`` it gives way to plain products, which are what mmengine's
    and fvcore's FLOP counters know.

    Args:
        q: [B, heads, L, d].
        k: [B, heads, S, d].
        v: Values per head, [B, heads, S, e].
        bias: As there.
        scale: As there.

    Returns:
        Tensor: [B, heads, L, e].
    """
    bias = None if bias is None else bias.to(q.dtype)
    if torch.jit.is_tracing():
        return attention_weights(q, k, bias, scale) @ v
    return F.scaled_dot_product_attention(q, k, v, bias, scale=scale)


def block_with_attention(block: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Run a block of open_clip whose attention is wanted, too.

    Args:
        block: Its attention is a ``CLIPAttention``.
        x: Tokens [B, L, dims].

    Returns:
        tuple: Tokens [B, L, dims], and attention averaged over heads [B, L, L].
    """
    normed = block.ln_1(x)
    out, attention = block.attn(normed, normed, normed, need_weights=True)
    x = x + block.ls_1(out)
    return x + block.ls_2(block.mlp(block.ln_2(x))), attention


def split_attention(transformer: Any) -> None:
    """Give every block of an open_clip transformer a ``CLIPAttention``."""
    for block in transformer.resblocks:
        old = block.attn
        block.attn = CLIPAttention(old.embed_dim, old.num_heads)
        block.attn.load_state_dict(split_qkv_keys(old.state_dict()))
        # Blocks of open_clip < 2.24 hand over tokens first.
    transformer.batch_first = True


def split_qkv_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ``in_proj_*`` of nn.MultiheadAttention to q, k and v projections."""
    split = {}
    for key, value in state.items():
        head, dot, name = key.rpartition('.')
        if name in ('in_proj_weight', 'in_proj_bias'):
            kind = name.removeprefix('in_proj_')
            for letter, part in zip('qkv', value.chunk(3)):
                split[f'{head}{dot}{letter}_proj.{kind}'] = part.clone()
        else:
            split[key] = value
    return split


class CLIPActivation(nn.Module):
    """QuickGELU (OpenAI's weights) or GELU.

    Weights decide which, and weights come later than modules: mmengine follows every
    module through ``init_weights``, so none may be replaced there.

    Args:
        quick: Whether it is QuickGELU.
    """

    def __init__(self, quick: bool) -> None:
        super().__init__()
        self.quick = quick

    def forward(self, x: Tensor) -> Tensor:
        """[...] to the same."""
        return x * torch.sigmoid(1.702 * x) if self.quick else F.gelu(x)

    def extra_repr(self) -> str:
        return f'quick={self.quick}'


def add_activation(transformer: Any, quick_gelu: bool) -> None:
    """Give the MLP of every block a ``CLIPActivation``."""
    for block in transformer.resblocks:
        block.mlp.gelu = CLIPActivation(quick_gelu)


def set_quick_gelu(transformer: Any, quick_gelu: bool) -> None:
    """Switch the activation of all MLPs."""
    for block in transformer.resblocks:
        block.mlp.gelu.quick = quick_gelu


def freeze_all_but(module: nn.Module, transformer: Any, trainable: str) -> None:
    """Freeze a CLIP tower except for what is to be tuned.

    Args:
        module: The tower.
        transformer: Its blocks.
        trainable: ``'none'``; ``'qv'``: the weights of the q and v projections;
            ``'attention'``: all of the attention layers; ``'all'``.

    Raises:
        ValueError: Another word.
    """
    if trainable not in ('none', 'qv', 'attention', 'all'):
        raise ValueError("trainable must be 'none', 'qv', 'attention' or 'all', got "
                         f'{trainable!r}')
    module.requires_grad_(trainable == 'all')
    for block in transformer.resblocks:
        if trainable == 'attention':
            block.attn.requires_grad_(True)
        elif trainable == 'qv':
            block.attn.q_proj.weight.requires_grad_(True)
            block.attn.v_proj.weight.requires_grad_(True)


def spatial_size(x: Tensor) -> tuple[int, int]:
    """Height and width as plain numbers, also where torch.jit traces them as tensors.

    Rounding to patches and the position table need numbers, so what is traced holds
    for one image size (and any batch size); the tracer warns of it.

    Args:
        x: [..., H, W].

    Returns:
        tuple: H and W.
    """
    height, width = x.shape[-2:]
    if torch.jit.is_tracing():
        return int(height), int(width)
    return height, width


def resize_position_embedding(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """Interpolate the position embedding of a square ViT to another grid.

    Args:
        table: [1 + n * n, W]: first the [CLS] position, then n rows of n patches.
        grid: Rows and columns wanted.

    Returns:
        Tensor: [1 + rows * columns, W]; the table itself where the grid is n x n.
    """
    side = round((len(table) - 1)**0.5)
    if fixed(*grid) and (side, side) == tuple(grid):
        return table
    patches = table[1:].T.reshape(1, -1, side, side).float()
    patches = F.interpolate(patches, grid, mode='bicubic', align_corners=False)
    return torch.cat([table[:1], patches[0].flatten(1).T.to(table)])


def load_tower(tower: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load the weights of one tower, all of them or none.

    Args:
        tower: Its blocks hold ``CLIPAttention`` layers.
        state: open_clip's keys.
        what: Names weights and model in the error.

    Raises:
        ValueError: Keys are missing or of another shape; names some.
    """
    own, state = tower.state_dict(), split_qkv_keys(state)
    missing = [k for k in own if k not in state]
    unfit = [f'{k} {tuple(state[k].shape)} for {tuple(v.shape)}'
             for k, v in own.items() if k in state and state[k].shape != v.shape]
    if missing or unfit:
        raise ValueError(
            f'{what}: these are weights of another model; {len(missing)} of {len(own)} '
            f'keys are missing {missing[:3]}, {len(unfit)} have another shape '
            f'{unfit[:3]}')
    tower.load_state_dict({k: state[k] for k in own})
    # Anything missing was refused above, so the share is always whole.
    print_log(f'CLIP weights {what}: {len(own)} of {len(own)} keys loaded (100%), '
              f'{len(state) - len(own)} not needed', 'current')
