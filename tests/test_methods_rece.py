"""RECE against its own steps, layer by layer and token by token."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.dense_tokens import church, least_squares, moved, retained, weights

from erase.methods import rece, uce
from erase.methods.text_tokens import moved_tokens, preserved_tokens
from erase.models.bundle import Bundle
from plumbing.errors import UsageError

UCE: dict[str, Any] = {"erase_scale": 1.0, "preserve_scale": 0.5, "ridge": 0.25}
EPOCHS: dict[str, Any] = {"closeness": 1e-2, "epoch_preserve_scale": 0.1, "epoch_ridge": 0.1}


def test_without_epochs_it_is_uce(tiny: Bundle) -> None:
    told: Any = {"anchor": "dog", "tokens": "rest", **UCE}
    parameters, concept = tiny.trainable("xattn"), church()
    own = uce.edit(tiny, parameters, concept, **told)
    other = rece.edit(tiny, parameters, concept, **told, **EPOCHS, epochs=0)
    assert own.keys() == other.keys()
    assert all(torch.equal(other[name], weight) for name, weight in own.items())


def test_the_way_back_gives_what_the_concept_gave(tiny: Bundle) -> None:
    """Without closeness and with an edit that can be undone, B = inverse(T): W T B c = W c."""
    concept, dense = church(), weights(tiny, "to_k", "to_v")
    found = uce.transform(
        moved_tokens(tiny, concept, "dog", "rest"),
        preserved_tokens(tiny, concept.retain_prompts, "rest"),
        **UCE,
    )
    gram = sum((w.mT @ w for w in dense.values()), torch.zeros(16, 16).double())
    back = rece.way_back(gram, found, 0.0)
    here, _ = moved(tiny, concept, "church", "dog", "last")
    for weight in dense.values():
        lost = weight @ (found - torch.eye(16).double()) @ here.mT
        again = weight @ (found @ back - torch.eye(16).double()) @ here.mT
        assert lost.abs().max() > 1e-3
        assert again.abs().max() < 1e-9


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_epoch_is_the_paper_s_two_solutions(tiny: Bundle, epochs: int) -> None:
    """c' minimises sum |W_t c' - W c|^2 + 0.01 |c'|^2 over the layers; then W_t+1 minimises
    sum |W' c' - W_t c*|^2 + 0.1 sum |W' p - W_t p|^2 + 0.1 |W' - W_t|^2 over all tokens.
    """
    concept, original = church(), weights(tiny, "to_k", "to_v")
    edited = rece.edit(
        tiny,
        tiny.trainable("xattn"),
        concept,
        anchor="",
        tokens="rest",
        epochs=epochs,
        **UCE,
        **EPOCHS,
    )
    axes = torch.eye(16).double()
    first, there = moved(tiny, concept, "church", "", "rest")
    here, target = moved(tiny, concept, "church", "", "all")
    kept = retained(tiny, ["", *concept.retain_prompts], "all")
    now = {
        name: least_squares(
            [(1.0, first, there @ w.mT), (0.5, kept, kept @ w.mT), (0.25, axes, w.mT)]
        )
        for name, w in original.items()
    }
    for _ in range(epochs):
        tall = torch.cat([*now.values(), 0.1 * axes])
        wanted = torch.cat([*(w @ here.mT for w in original.values()), 0 * here.mT])
        again = torch.linalg.lstsq(tall, wanted, driver="gelsd").solution.mT
        now = {
            name: least_squares(
                [(1.0, again, target @ w.mT), (0.1, kept, kept @ w.mT), (0.1, axes, w.mT)]
            )
            for name, w in now.items()
        }
    for name, weight in now.items():
        torch.testing.assert_close(edited[name], weight.float(), rtol=0, atol=1e-6)
        assert (weight - original[name]).abs().max() > 1e-3


def test_no_way_back_is_refused() -> None:
    """Layers that see one of two directions: no one embedding gives what was given."""
    gram = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).double()
    with pytest.raises(UsageError, match="--closeness"):
        rece.way_back(gram, torch.eye(2).double(), 0.0)
