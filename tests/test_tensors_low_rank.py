"""The truncated decomposition: the nearest of its rank, with as few terms as the energy takes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erase.tensors.low_rank import factorise

SHAPES = [(6, 9), (9, 6), (5, 3, 3, 3), (20, 2, 1, 1), (1, 7)]


def random(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return 1e-3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_full_rank_gives_the_change_back(shape: tuple[int, ...]) -> None:
    change = random(shape)
    factors = factorise(change)
    assert factors.up.shape == (shape[0], factors.rank, *(1,) * (len(shape) - 2))
    assert factors.down.shape == (factors.rank, *shape[1:])
    assert (change - factors.product()).norm() < 1e-6 * change.norm()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 2, 100])
def test_a_rank_is_met_as_near_as_the_svd_does(shape: tuple[int, ...], rank: int) -> None:
    """Eckart and Young: the least error is the norm of the singular values left out."""
    change = random(shape)
    values = torch.linalg.svdvals(change.flatten(1).double())
    factors = factorise(change, rank=rank)
    assert factors.rank == min(rank, len(values))
    missed = (change.double() - factors.product().double()).norm()
    torch.testing.assert_close(missed, values[rank:].norm(), rtol=1e-4, atol=1e-9)
    halves = factors.up.flatten(1).norm(dim=0), factors.down.flatten(1).norm(dim=1)
    for half in halves:
        torch.testing.assert_close(half.double(), values[:rank].sqrt(), rtol=1e-4, atol=1e-9)


@given(st.integers(0, 999), st.floats(0.01, 1.0))
def test_an_energy_is_met_by_as_few_terms_as_do(seed: int, energy: float) -> None:
    change = random((7, 11), seed)
    share = factorise(change, energy=energy).product().square().sum() / change.square().sum()
    assert share >= energy - 1e-5
    rank = factorise(change, energy=energy).rank
    if rank > 1:
        fewer = factorise(change, rank=rank - 1).product().square().sum() / change.square().sum()
        assert fewer < energy + 1e-5


def test_noise_is_no_rank_of_its_own() -> None:
    """A product of 3 terms in float64's own digits has rank 3, whatever is asked for."""
    change = (random((30, 3)).double() @ random((3, 40), 1).double()).float()
    exact = torch.outer(torch.ones(8), torch.arange(1.0, 6.0))
    assert factorise(exact).rank == factorise(exact, rank=4).rank == 1
    assert factorise(change, energy=0.999999).rank == 3


def test_half_precision_holds_either_factor() -> None:
    change = 1e-2 * random((64, 64))
    factors = factorise(change).scaled(1.0, torch.float16)
    assert (change - factors.product()).norm() < 1e-3 * change.norm()


def test_a_scale_is_shared_by_both_factors() -> None:
    factors = factorise(random((6, 9)))
    quarter = factors.scaled(0.25, torch.float32)
    torch.testing.assert_close(quarter.up, factors.up / 2)
    torch.testing.assert_close(quarter.product(4.0), factors.product())
