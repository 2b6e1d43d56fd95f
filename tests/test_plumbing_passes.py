"""Passes are counted by the rows that go through, with their backward passes, and by copies too."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from plumbing.passes import PARTS, PassCounter, Passes


class Wrapped(nn.Module):
    """Gives its output as diffusers does, in a tuple or under a name."""

    def __init__(self, form: type) -> None:
        super().__init__()
        self.inner, self.form = nn.Linear(3, 2), form

    def forward(self, sample: torch.Tensor, scale: float = 1.0) -> object:
        found = self.inner(sample) * scale
        return {"sample": found} if self.form is dict else (found,)


@pytest.mark.parametrize("form", [tuple, dict])
def test_a_call_counts_its_rows_and_its_backward_pass(form: type) -> None:
    module, counter = Wrapped(form), PassCounter()
    counter.watch("denoiser", module)
    with torch.no_grad():
        module(torch.zeros(4, 3))
    assert counter.take() == Passes(denoiser=4)
    module(sample=torch.zeros(5, 3))
    assert counter.take() == Passes(denoiser=15)
    module.requires_grad_(False)
    module(torch.zeros(2, 3))
    module(torch.zeros(2, 3, requires_grad=True))
    assert counter.take() == Passes(denoiser=8)
    assert counter.take() == Passes() and not Passes()


def test_activations_that_are_computed_twice_count_twice() -> None:
    module, counter = Wrapped(tuple), PassCounter()
    module.is_gradient_checkpointing = True
    counter.watch("denoiser", module)
    module(torch.zeros(5, 3))
    assert counter.take() == Passes(denoiser=20)


def test_a_copy_is_counted_with_its_model_and_a_closed_counter_counts_no_more() -> None:
    module = Wrapped(tuple).requires_grad_(False)
    with PassCounter() as counter:
        counter.watch("text_encoder", module)
        copy.deepcopy(module)(torch.zeros(3, 3))
        module(torch.zeros(1, 3))
        assert counter.take() == Passes(text_encoder=4)
    module(torch.zeros(1, 3))
    assert counter.take() == Passes()


def test_passes_add_up_part_by_part() -> None:
    first, second = (Passes(*range(start, start + len(PARTS))) for start in (1, 10))
    assert first + second == Passes(*(11 + 2 * i for i in range(len(PARTS))))
    assert first + Passes() == first


def test_a_call_without_a_tensor_is_no_pass() -> None:
    counter, module = PassCounter(), nn.Identity()
    counter.watch("denoiser", module)
    with pytest.raises(ValueError, match="without a tensor"):
        module("text")
