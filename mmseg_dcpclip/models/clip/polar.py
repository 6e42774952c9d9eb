"""The rotation in a matrix, by products alone."""

import math

import torch
from torch import Tensor

from .layers import at_least_float32, without_autocast

LEAST = 1e-7  # of a matrix's norm: directions down to it are turned


def polar_factor(matrix: Tensor) -> Tensor:
    """The rotation in a matrix: U V^T of its singular value decomposition.

    By Newton-Schulz iterations X <- a X (3 - a^2 X^T X) / 2 in float64, whose factors
    a, known beforehand, bring the singular values to 1 in a fixed number of steps (Chen
    and Chow, 2014). They are products alone, which ONNX has, too.

    Singular values from ``LEAST`` times the Frobenius norm on come out as 1 to 1e-8.
    Smaller ones end between 0 and 1, and 0 as 0: nothing there decides where they turn.
    A 3 x 3 grid has fewer patches than a head has channels.

    Args:
        matrix: [..., d, d].

    Returns:
        Tensor: Without gradients, of the matrix's precision, at least float32,
        [..., d, d].
    """
    with torch.no_grad(), without_autocast(matrix):
        wide = at_least_float32(matrix)
        x = (wide.cpu() if wide.device.type == 'mps' else wide).double()  # mps has none
        norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
        x = x / norm.clamp(min=torch.finfo(torch.float32).tiny)
        for factor in FACTORS:
            x = factor * x
            x = 1.5 * x - 0.5 * x @ (x.transpose(-2, -1) @ x)
        return x.to(wide)


def _factors(least: float) -> list[float]:
    """a of each step, for singular values in [least, 1]."""
    factors = []
    while 1 - least > 1e-9:
        factors.append(math.sqrt(3 / (1 + least + least**2)))
        scaled = factors[-1] * least
        least = 1.5 * scaled - 0.5 * scaled**3
    return factors


FACTORS = _factors(LEAST)
