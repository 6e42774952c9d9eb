"""Read-outs: how patch features are read out of the last block of a CLIP ViT.

Each is a function of a ``LastBlock`` and returns the tokens that CLIP's last norm and
projection P take to the joint space, [B, N, W]. x are the tokens that enter the block,
h = ln_1(x); q, k and v come from h by the block's own projections, per head of width d;
out is its output projection over the joined heads. Blocks are counted from 1.

A user's own is registered likewise::

    @READ_OUTS.register_module()
    def kk(last, scale=1.0):
        k = last.k
        return last.out(last.attend(scale * k[:, :, 1:], k, last.v))

and chosen as ``CLIPVisionBackbone(read_out=dict(type='kk', scale=2.0))``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch
from mmengine.registry import Registry
from torch import Tensor

from ...registry import SCOPE
from .affinity import coherence, cosines, gaussian_window, sharpen, weigh
from .last_block import LastBlock, with_class_column
from .layers import at_least_float32, attend, without_autocast
from .outliers import fill_from_neighbours, find_outliers
from .polar import polar_factor

READ_OUTS = Registry('read-out', scope=SCOPE)


class ReadOut:
    """A read-out with its arguments, for a ViT of some depth.

    Args:
        config: A name, or ``type``, a name or a function, with arguments.
        depth: Blocks of the ViT.

    Attributes:
        name: Of the read-out.
        reads: Numbers of blocks whose outputs it reads.
        attends: Whether it calls ``LastBlock.attend``, where a proxy can stand in.

    Raises:
        ValueError: There is no such read-out, or it has no such argument or value.
    """

    def __init__(self, config: str | Mapping[str, Any], depth: int) -> None:
        arguments = dict(type=config) if isinstance(config, str) else dict(config)
        kind = arguments.pop('type', None)
        function = READ_OUTS.get(kind) if isinstance(kind, str) else kind
        if not callable(function):
            raise ValueError(f'there is no read_out {kind!r}; there are: '
                             f'{", ".join(READ_OUTS.module_dict)}')
        self.name = kind if isinstance(kind, str) else function.__name__
        try:
            signature(function).bind(None, **arguments)
        except TypeError as error:
            known = [str(p) for p in signature(function).parameters.values()][1:]
            raise ValueError(f'read_out {self.name!r}: {error}; its arguments: '
                             f'{", ".join(known) or "none"}') from error
        self.attends: bool = getattr(function, 'attends', True)
        reads = getattr(function, 'reads', None)
        self.reads = frozenset(reads(depth, **arguments) if reads else ())
        self._function: Callable[[LastBlock], Tensor] = partial(function, **arguments)

    def __call__(self, last: LastBlock) -> Tensor:
        """Patch tokens [B, N, W]."""
        return self._function(last)


def _read_out(reads: Callable[..., Iterable[int]] | None = None, attends: bool = True
              ) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a read-out.

    Args:
        reads: Checks its arguments, which follow the depth of the ViT; returns the
            numbers of blocks whose outputs it reads.
        attends: As in ``ReadOut``.
    """
    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        vars(function).update(reads=reads, attends=attends)
        return READ_OUTS.register_module(module=function)
    return register


def _check(fits: bool, argument: str, wanted: str, value: object) -> None:
    if not fits:
        raise ValueError(f'read_out: {argument} must be {wanted}, got {value!r}')


def _block(depth: int, name: str, number: int | None, base: int, large: int) -> int:
    """The number of a block before the last; None: one that follows the depth.

    That lies on the line through those for 12 blocks (ViT-B) and 24 (ViT-L).
    """
    if number is None:
        number = round(base + (large - base) * (depth - 12) / 12)
        number = min(max(number, 1), max(depth - 1, 1))
    _check(number in range(1, depth), name,
           f'the number of a block before the last, 1 to {depth - 1}', number)
    return number


def _blocks(depth: int, name: str, pair: Sequence[int] | None, first: tuple[int, int],
            last: tuple[int, int]) -> range:
    """The numbers from a first to a last block before the last; None: as above."""
    _check(pair is None or (len(pair) == 2 and pair[0] <= pair[1]), name,
           'a first and a last block', pair)
    start, stop = pair or (None, None)
    return range(_block(depth, name, start, *first),
                 _block(depth, name, stop, *last) + 1)


# ------------------------------------------------------------ without attention

@_read_out(attends=False)
def plain(last: LastBlock) -> Tensor:
    """The block as it is (CLIP, arXiv 2103.00020)."""
    return last.block(last.x)[:, 1:]


@_read_out(attends=False)
def value(last: LastBlock) -> Tensor:
    """out(v): no attention, residual or MLP (MaskCLIP, arXiv 2112.01071)."""
    return last.out(last.v[:, :, 1:])


@_read_out(attends=False)
def catseg(last: LastBlock) -> Tensor:
    """y = out(v) + x[CLS]; y + mlp(ln_2(y)) (CAT-Seg, arXiv 2303.11797)."""
    return last.add_mlp(last.out(last.v[:, :, 1:]) + last.x[:, :1])


# -------------------------------------------------------------- with attention

@_read_out()
def qq(last: LastBlock) -> Tensor:
    """out(softmax(q q^T / sqrt d) v) (ClearCLIP, arXiv 2407.12442)."""
    q = last.heads('q', last.h)
    return last.out(last.attend(q[:, :, 1:], q, last.v))


@_read_out()
def csa(last: LastBlock) -> Tensor:
    """A = softmax(q q^T / sqrt d) + softmax(k k^T / sqrt d); y = x + out(A v);
    y + mlp(ln_2(y)) (SCLIP, arXiv 2312.01597)."""
    q, k = last.heads('q', last.h), last.k
    values = (last.attend(q[:, :, 1:], q, last.v)
              + last.attend(k[:, :, 1:], k, last.v))
    return last.add_mlp(last.x[:, 1:] + last.out(values))


def _check_sigma(depth: int, sigma: float | None = 5.0, **others: Any) -> list[int]:
    _check(sigma is None or sigma > 0, 'sigma', 'above 0', sigma)
    return []


def _kk(last: LastBlock, sigma: float | None) -> Tensor:
    """softmax(k k^T / sqrt d + G) v, [B, heads, N, d]."""
    bias = None if sigma is None else with_class_column(
        gaussian_window(last.grid, sigma, last.k))
    return last.attend(last.k[:, :, 1:], last.k, last.v, bias)


@_read_out(_check_sigma)
def kk_gauss(last: LastBlock, sigma: float | None = 5.0) -> Tensor:
    """out(softmax(k k^T / sqrt d + G) v), where G_ij = exp(-|p_i - p_j|^2 / 2 sigma^2)
    for patches and 0 for [CLS] (NACLIP, arXiv 2404.08181).

    Args:
        last: The block.
        sigma: In patches; None: without G.
    """
    return last.out(_kk(last, sigma))


def _rcs_blocks(depth: int, blocks: Sequence[int] | None) -> range:
    return _blocks(depth, 'blocks', blocks, (6, 12), (9, 18))


def _rcs_reads(depth: int, share: float = 0.3, factor: float = 2.0,
               sigma: float | None = 5.0, blocks: Sequence[int] | None = None
               ) -> list[int]:
    _check(0 <= share <= 1, 'share', 'in [0, 1]', share)
    _check_sigma(depth, sigma)
    return [number - 1 for number in _rcs_blocks(depth, blocks)]  # what enters it


@_read_out(_rcs_reads)
def rcs(last: LastBlock, share: float = 0.3, factor: float = 2.0,
        sigma: float | None = 5.0, blocks: Sequence[int] | None = None) -> Tensor:
    """out(A v), where A = factor ((1 - share) A_kk + share M), A_kk is the attention of
    ``kk_gauss`` and M the mean of the q k attentions of some blocks in the middle, head
    by head (ResCLIP, arXiv 2411.15851, its first half).

    Args:
        last: The block.
        share: Of M.
        factor: As above.
        sigma: As in ``kk_gauss``.
        blocks: First and last block of M; None: 6 and 9 of 12, 12 and 18 of 24.
    """
    numbers = _rcs_blocks(len(last.blocks), blocks)
    middle = torch.zeros_like(last.v[:, :, 1:])
    for number in numbers:
        block = last.blocks[number - 1]
        h = block.ln_1(last.outputs[number - 1])
        q, k = (last.heads(kind, h, block) for kind in 'qk')
        middle = middle + attend(q[:, :, 1:], k, last.v) / len(numbers)
    return last.out(factor * ((1 - share) * _kk(last, sigma) + share * middle))


def _check_smoothing(depth: int, smoothing: float = 0.08) -> list[int]:
    _check(smoothing >= 0, 'smoothing', 'at least 0', smoothing)
    return []


@_read_out(_check_smoothing)
def procrustes(last: LastBlock, smoothing: float = 0.08) -> Tensor:
    """out(softmax((q (k R)^T + smoothing k_c k_c^T) / sqrt d) v), where k_c and q_c are
    k and q less their means, weighted by |q| of the patches, and R is the rotation of
    k_c to q_c, the polar factor of k_c^T q_c (PEARL, arXiv 2603.21528, its first step).

    R is computed from the picture and takes no gradient.

    Args:
        last: The block.
        smoothing: As above.
    """
    q, k = last.heads('q', last.h), last.k
    weights = at_least_float32(q.detach()).norm(dim=-1, keepdim=True)
    weights = torch.cat([torch.zeros_like(weights[:, :, :1]), weights[:, :, 1:]], 2)
    weights = (weights / weights.sum(2, keepdim=True)).to(q.dtype)
    centred_q, centred_k = (x - (weights * x).sum(2, keepdim=True) for x in (q, k))
    with without_autocast(q):
        product = (at_least_float32(centred_k).transpose(2, 3)
                   @ at_least_float32(centred_q))
    rotated = k @ polar_factor(product).to(k.dtype)
    # both products in one: [q, a k_c] [k R, a k_c]^T
    smooth = smoothing**0.5 * centred_k
    queries, keys = torch.cat([q, smooth], -1), torch.cat([rotated, smooth], -1)
    return last.out(last.attend(queries[:, :, 1:], keys, last.v,
                                scale=q.shape[-1]**-0.5))


# ------------------------------------------------------------- self-calibrated

def _calibration_blocks(depth: int, similarity_block: int | None,
                        smoothing_block: int | None,
                        fused_blocks: Sequence[int] | None) -> tuple[int, int, range]:
    """Blocks whose similarities, smoothing and outputs ``self_calibrated`` takes."""
    return (_block(depth, 'similarity_block', similarity_block, 9, 17),
            _block(depth, 'smoothing_block', smoothing_block, 4, 7),
            _blocks(depth, 'fused_blocks', fused_blocks, (4, 9), (10, 19)))


def _calibration_reads(depth: int, neighbours: int = 30, outliers: float = 0.05,
                       floor: float = 0.4, scale: float = 3.0,
                       class_share: float | None = None,
                       similarity_block: int | None = None,
                       smoothing_block: int | None = None,
                       fused_blocks: Sequence[int] | None = None) -> list[int]:
    _check(neighbours >= 1, 'neighbours', 'at least 1', neighbours)
    _check(0 <= outliers <= 1, 'outliers', 'in [0, 1]', outliers)
    _check(0 <= floor <= 0.99, 'floor', 'in [0, 0.99]', floor)
    _check(scale > 0, 'scale', 'above 0', scale)
    similarity, smoothing, fused = _calibration_blocks(
        depth, similarity_block, smoothing_block, fused_blocks)
    return [similarity, smoothing, *fused]


@_read_out(_calibration_reads)
def self_calibrated(last: LastBlock, neighbours: int = 30, outliers: float = 0.05,
                    floor: float = 0.4, scale: float = 3.0,
                    class_share: float | None = None,
                    similarity_block: int | None = None,
                    smoothing_block: int | None = None,
                    fused_blocks: Sequence[int] | None = None) -> Tensor:
    """Outliers replaced, patches averaged with those like them in earlier blocks, and
    these blocks' outputs read out as well (SC-CLIP, arXiv 2411.15869).

    No residual and no MLP. Block numbers lie on the line through those that the method
    has for 12 and for 24 blocks.

    Args:
        last: The block.
        neighbours: As in ``local_outlier_factors``.
        outliers: Share of the patches that are replaced.
        floor: Least cosine of patches that are averaged.
        scale: Of the attention made of cosines.
        class_share: What [CLS] adds; None: 0.3 up to 12 blocks, 0.1 beyond.
        similarity_block: Its patches give the cosines C; None: 9 of 12, 17 of 24.
        smoothing_block: Its patches give the smoothing A; None: 4 of 12, 7 of 24.
        fused_blocks: First and last block that are read out as well; None: 4 and 10 of
            12, 9 and 19 of 24.
    """
    depth = len(last.blocks)
    similarity_at, smoothing_at, fused = _calibration_blocks(
        depth, similarity_block, smoothing_block, fused_blocks)
    if class_share is None:
        class_share = 0.3 if depth <= 12 else 0.1
    tokens = last.x[:, 1:]
    missing = find_outliers(tokens, neighbours, outliers)
    tokens = fill_from_neighbours(tokens, missing, last.grid)
    similarity = cosines(fill_from_neighbours(
        last.outputs[similarity_at][:, 1:], missing, last.grid))  # C
    tokens = coherence(similarity, floor).to(tokens.dtype) @ tokens
    smooth = coherence(cosines(last.outputs[smoothing_at][:, 1:]), floor)  # A
    shared = sharpen(similarity, scale)

    def pooled(patches: Tensor, class_token: Tensor) -> Tensor:
        """A (out(((shared + softmax(k k^T / sqrt d)) / 2) v) + share [CLS])."""
        h = last.block.ln_1(patches)
        k, v = last.heads('k', h), last.heads('v', h)
        y = last.out((weigh(shared, v) + last.attend(k, k, v)) / 2)
        y = y + class_share * class_token
        return smooth.to(y.dtype) @ y

    levels = torch.stack([last.outputs[number] for number in fused]).sum(0)
    return pooled(tokens, last.x[:, :1]) + pooled(levels[:, 1:], levels[:, :1])
