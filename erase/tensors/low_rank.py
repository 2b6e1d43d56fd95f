"""The nearest matrix of low rank to a change of weights, as a product of two small ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_NOISE = 1e-14
"""Share of the largest energy below which float64 arithmetic makes up what it finds."""


@dataclass(frozen=True)
class Factors:
    """`up` [out, r] and `down` [r, in], or [out, r, 1, 1] and [r, in, kh, kw] of a convolution."""

    up: Tensor
    down: Tensor

    @property
    def rank(self) -> int:
        """How many terms the product has, r."""
        return self.down.shape[0]

    def scaled(self, scale: float, dtype: torch.dtype) -> Factors:
        """Factors of `scale` times the product, in another type; either takes half of the scale."""
        share = scale**0.5
        return Factors((self.up * share).to(dtype), (self.down * share).to(dtype))

    def product(self, scale: float = 1.0) -> Tensor:
        """`scale` times what the factors stand for, float32 [out, in] or [out, in, kh, kw]."""
        matrix = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return (scale * matrix).view(len(self.up), *self.down.shape[1:])

    def added(self, base: Tensor) -> Tensor:
        """A weight with the change that they stand for, in float32."""
        return (base.double() + self.product().double()).float()


def factorise(change: Tensor, *, rank: int | None = None, energy: float | None = None) -> Factors:
    """The truncated singular value decomposition of a change, float32, that is not all zero.

    `rank` is the most terms to keep, `energy` the share of the squared Frobenius norm to keep with
    as few as do; without both every term that is not noise is kept. Either factor has the square
    roots of the singular values, so that neither overflows or vanishes in half precision.
    """
    matrix = change.flatten(1).double()
    wide = matrix.shape[0] <= matrix.shape[1]
    short = matrix if wide else matrix.T
    # The smaller Gram matrix has the same singular vectors, and the energies as its eigenvalues:
    # several times as fast as an SVD, and in float64 squaring costs float32 none of its digits.
    energies, vectors = torch.linalg.eigh(short @ short.T)
    kept = _count(energies.flip(0).clamp(min=0), rank, energy)
    basis = vectors.flip(1)[:, :kept]
    rows = basis.T @ short
    root = rows.norm(dim=1).sqrt()
    first, second = basis * root, rows / root[:, None]
    up, down = (first, second) if wide else (second.T, first.T)
    ones = (1,) * (change.ndim - 2)
    return Factors(
        up.float().reshape(len(change), kept, *ones).contiguous(),
        down.float().reshape(kept, *change.shape[1:]).contiguous(),
    )


def _count(energies: Tensor, rank: int | None, energy: float | None) -> int:
    """How many of the terms, the strongest first, to keep."""
    own = int((energies > _NOISE * energies[0]).sum())
    if energy is not None:
        reached = energies.cumsum(0)
        own = min(own, int((reached < energy * reached[-1]).sum()) + 1)
    return own if rank is None else min(own, rank)
