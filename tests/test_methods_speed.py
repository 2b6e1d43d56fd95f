"""SPEED against its own constrained problem, solved densely; its null space; its refinements."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.dense_tokens import church, moved, retained, rows, weights
from torch import Tensor

from erase.methods import speed
from erase.models.bundle import Bundle
from plumbing.errors import UsageError

NUMBERS: dict[str, Any] = {"ridge": 0.7, "slack": 0.0, "copies": 0, "no_filter": True, "seed": 0}


def pieces(sd: Bundle, anchor: str, tokens: str) -> tuple[Tensor, Tensor, int]:
    """The concept's tokens and anchors, and of how many prompts they are."""
    concept = church()
    here, there = moved(sd, concept, "church", anchor, tokens)
    return here, there, len(concept.forget_prompts)


def constrained(
    weight: Tensor, here: Tensor, there: Tensor, prompts: int, fixed: Tensor, ridge: float
) -> Tensor:
    """min over X of mean |(W + X N^T) c - W c*|^2 + ridge |X|^2, N a basis of what is not `fixed`.

    By rows: X N^T c is to be W (c* - c), and X e_i to be 0.
    """
    found = torch.linalg.svd(fixed, full_matrices=True)
    free = found.U[:, int((found.S > 1e-9).sum()) :]
    left = torch.cat([here @ free / prompts**0.5, ridge**0.5 * torch.eye(free.shape[1]).double()])
    right = torch.cat(
        [
            (there - here) @ weight.mT / prompts**0.5,
            torch.zeros_like(weight[:, :1].mT).expand(free.shape[1], -1),
        ]
    )
    change = torch.linalg.lstsq(left, right, driver="gelsd").solution.mT
    return weight + change @ free.mT


@pytest.mark.parametrize("tokens", ["last", "rest"])
@pytest.mark.parametrize("anchor", ["dog", ""])
def test_speed_is_the_constrained_minimum_of_its_paper(
    tiny: Bundle, anchor: str, tokens: str
) -> None:
    """Kept are the retained tokens' directions whose mean square reaches the threshold, and the
    empty prompt's tokens' centres; all else may move.
    """
    here, there, prompts = pieces(tiny, anchor, tokens)
    kept = retained(tiny, church().retain_prompts, "last")
    found = torch.linalg.svd(kept.mT / len(kept) ** 0.5, full_matrices=False)
    threshold = float(found.S[1:].square().mean())
    assert 0 < (found.S.square() >= threshold).sum() < len(found.S)
    kept = found.U[:, found.S.square() >= threshold]
    invariants = speed.invariant_tokens(tiny)
    edited = speed.edit(
        tiny,
        tiny.trainable("xattn"),
        church(),
        anchor=anchor,
        tokens=tokens,
        threshold=threshold,
        **NUMBERS,
    )
    factor = speed.root(here.mT @ here / prompts)
    change = (there - here).mT @ here / prompts
    dense = weights(tiny, "to_v")
    assert edited.keys() == dense.keys()
    for name, weight in dense.items():
        wanted = constrained(
            weight, here, there, prompts, torch.cat([kept, invariants], dim=1), 0.7
        )
        ours = speed.edited(weight, weight @ change, factor, kept, invariants, ridge=0.7, slack=0.0)
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-9)
        torch.testing.assert_close(edited[name], wanted.float(), rtol=0, atol=1e-6)
        assert (wanted - weight).abs().max() > 1e-5


@pytest.mark.parametrize("slack", [0.0, 0.5])
def test_it_is_the_paper_s_formula(slack: float) -> None:
    """W (C* - C) P (I - M K2 inverse(K2^T P M K2 + slack I) K2^T P) M, M = inverse(C P + s I)."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weight, here, there, invariants = drawn(6, 12), drawn(3, 12), drawn(3, 12), drawn(12, 2)
    kept = torch.linalg.qr(drawn(12, 4)).Q
    own, change = here.mT @ here / 3, (there - here).mT @ here / 3
    eye, inverse = torch.eye(12).double(), torch.linalg.inv
    p = eye - kept @ kept.mT
    m = inverse(own @ p + 0.3 * eye)
    middle = inverse(invariants.mT @ p @ m @ invariants + slack * torch.eye(2).double())
    wanted = weight @ change @ p @ (eye - m @ invariants @ middle @ invariants.mT @ p) @ m
    ours = speed.edited(
        weight, weight @ change, speed.root(own), kept, invariants, ridge=0.3, slack=slack
    )
    torch.testing.assert_close(ours, weight + wanted, rtol=0, atol=1e-9)


def test_what_is_retained_stays_as_the_threshold_falls(tiny: Bundle) -> None:
    """At 1e-9 every direction of three retained tokens is kept: their values stay to 1e-9."""
    here, there, prompts = pieces(tiny, "dog", "rest")
    factor, change = speed.root(here.mT @ here / prompts), (there - here).mT @ here / prompts
    tokens = retained(tiny, church().retain_prompts, "last")
    basis, invariants = torch.linalg.qr(tokens.mT).Q, speed.invariant_tokens(tiny)
    empty = rows(tiny, "")[:1]
    kept = speed.kept_directions(tokens, basis, 1e-9)
    loose = speed.kept_directions(tokens, basis, 1e9)
    assert kept.shape[1] == 3 and loose.shape[1] == 0
    for weight in weights(tiny, "to_v").values():
        told: Any = {"ridge": 1.0, "slack": 0.0}
        moved_by = speed.edited(weight, weight @ change, factor, kept, invariants, **told) - weight
        assert (moved_by @ tokens.mT).abs().max() < 1e-9
        assert (moved_by @ empty.mT).abs().max() < 1e-9
        assert (moved_by @ here.mT).abs().max() > 1e-4
        free = speed.edited(weight, weight @ change, factor, loose, invariants, **told) - weight
        assert (free @ tokens.mT).abs().max() > 1e-4


def test_an_invariant_that_is_kept_anyway_is_no_constraint(tiny: Bundle) -> None:
    """The empty prompt among the retained: its first token twice would be a singular system."""
    here, there, prompts = pieces(tiny, "dog", "last")
    factor, change = speed.root(here.mT @ here / prompts), (there - here).mT @ here / prompts
    invariants = speed.invariant_tokens(tiny)
    kept = torch.linalg.qr(invariants[:, :1]).Q
    for weight in weights(tiny, "to_v").values():
        ours = speed.edited(weight, weight @ change, factor, kept, invariants, ridge=1.0, slack=0.0)
        wanted = constrained(weight, here, there, prompts, invariants, 1.0)
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-9)


def test_the_filter_keeps_what_would_be_moved_most() -> None:
    """Moved by (3, 1, 2) where the mean is 2: the first and the third stay."""
    retained = torch.tensor([[3.0, 0.0], [1.0, 5.0], [2.0, 0.0]]).double()
    alone = torch.tensor([[1.0, 0.0]]).double()
    least = torch.tensor([0.0, 1.0]).double()
    generator = torch.Generator().manual_seed(0)
    told: Any = {"filtered": True, "generator": generator}
    assert torch.equal(speed.refined(retained, alone, least, copies=0, **told), retained[[0, 2]])


def test_copies_lie_along_the_least_direction_and_follow_the_seed() -> None:
    retained = torch.tensor([[3.0, 0.0], [1.0, 5.0]]).double()
    alone = torch.tensor([[1.0, 1.0]]).double()
    least = torch.tensor([0.0, 1.0]).double()
    drawn = [
        speed.refined(
            retained,
            alone,
            least,
            copies=20,
            filtered=False,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[0][:2], retained)
    copies = drawn[0][2:]
    assert 0 < len(copies) < 40 and set(copies[:, 0].tolist()) <= {3.0, 1.0}
    moved_by = copies.sum(dim=1).abs()
    others = drawn[0][2:]
    assert moved_by.min() >= 1.0 and len(others.unique(dim=0)) == len(others)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_the_least_direction_is_a_singular_vector(shape: tuple[int, int]) -> None:
    weight = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = torch.linalg.svd(weight, full_matrices=False)
    ours = speed.least_direction(weight)
    assert abs(abs(float(ours @ found.Vh[-1])) - 1) < 1e-9


def test_centres_are_the_means_of_their_groups() -> None:
    """0, 1 | 10, 11 | 20: the means are 0.5, 10.5 and 20."""
    points = torch.tensor([[0.0], [1.0], [10.0], [11.0], [20.0]]).double()
    assert speed.centres(points, 3).flatten().tolist() == [0.5, 10.5, 20.0]


def test_nothing_free_is_refused(tiny: Bundle) -> None:
    """As many prompts as an embedding has numbers, 16, fill them."""
    letters = [f"a {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    told: Any = {"anchor": "dog", "tokens": "last", "threshold": 1e-9, **NUMBERS}
    with pytest.raises(UsageError, match="--threshold 1e-09: what is retained has all directions"):
        speed.edit(tiny, tiny.trainable("xattn"), church(letters), **told)
