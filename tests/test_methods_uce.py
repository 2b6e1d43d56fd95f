"""UCE against its own objective, solved densely; and what is preserved."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.dense_tokens import church, least_squares, moved, retained, weights

from erase.methods import uce
from erase.methods.text_tokens import Moves, moved_tokens, preserved_tokens
from erase.models.bundle import Bundle
from plumbing.errors import UsageError

NUMBERS: dict[str, Any] = {"erase_scale": 1.0, "preserve_scale": 0.5, "ridge": 0.25}


@pytest.mark.parametrize("tokens", ["last", "rest"])
@pytest.mark.parametrize("anchor", ["dog", ""])
def test_uce_is_the_least_squares_of_its_paper(tiny: Bundle, anchor: str, tokens: str) -> None:
    """min over W' of sum |W' c - W c*|^2 + 0.5 sum |W' p - W p|^2 + 0.25 |W' - W|^2, the last as 16
    rows: W' e_i is to be W e_i.
    """
    concept = church()
    here, there = moved(tiny, concept, "church", anchor, tokens)
    kept = retained(tiny, ["", *concept.retain_prompts], tokens)
    found = uce.transform(
        moved_tokens(tiny, concept, anchor, tokens),
        preserved_tokens(tiny, concept.retain_prompts, tokens),
        **NUMBERS,
    )
    edited = uce.edit(
        tiny, tiny.trainable("xattn"), concept, anchor=anchor, tokens=tokens, **NUMBERS
    )
    dense = weights(tiny, "to_k", "to_v")
    assert edited.keys() == dense.keys()
    for name, weight in dense.items():
        axes = torch.eye(weight.shape[1]).double()
        parts = [(1.0, here, there @ weight.mT), (0.5, kept, kept @ weight.mT)]
        wanted = least_squares([*parts, (0.25, axes, weight.mT)])
        torch.testing.assert_close(weight @ found, wanted, rtol=0, atol=1e-9)
        assert torch.equal(edited[name], (weight @ found).float())
        assert (wanted - weight).abs().max() > 1e-4


def test_what_is_its_own_anchor_changes_no_bit(tiny: Bundle) -> None:
    moves = moved_tokens(tiny, church(), "dog", "rest")
    still = Moves(moves.own, torch.zeros_like(moves.own), moves.prompts)
    found = uce.transform(still, moves.own, **NUMBERS)
    dense = weights(tiny, "to_k", "to_v")
    for name, weight in uce.apply(found, dense).items():
        assert torch.equal(weight, dense[name].float())


def test_the_more_is_preserved_the_less_it_moves(tiny: Bundle) -> None:
    """|W' p - W p| falls as 1 / preserve_scale: at a million times, to below 1e-5 of it."""
    concept, errors = church(["a dog", "an apple"]), []
    kept = retained(tiny, ["", *concept.retain_prompts], "last")
    for scale in (0.0, 1e6):
        found = uce.transform(
            moved_tokens(tiny, concept, "dog", "last"),
            preserved_tokens(tiny, concept.retain_prompts, "last"),
            **NUMBERS | {"preserve_scale": scale},
        )
        of_layers = [
            w @ (found @ kept.mT - kept.mT) for w in weights(tiny, "to_k", "to_v").values()
        ]
        errors.append(torch.cat(of_layers).norm().item())
    assert errors[0] > 1e-2 and errors[1] < 1e-5 * errors[0]


def test_a_singular_system_is_refused(tiny: Bundle) -> None:
    """Five tokens and nothing else hold 5 of 16 directions."""
    moves = moved_tokens(tiny, church(), "dog", "last")
    with pytest.raises(UsageError, match="--ridge: the tokens leave UCE's equations singular"):
        uce.transform(moves, moves.own, erase_scale=1.0, preserve_scale=0.0, ridge=0.0)
