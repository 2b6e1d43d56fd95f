"""The masked optimiser: exact where selected, absent elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from erase.training.buckets import Places, unpack
from erase.training.masked_optimizer import MaskedOptimizer

Build = Callable[[list[Tensor]], torch.optim.Optimizer]


def adam(weights: list[Tensor]) -> torch.optim.Optimizer:
    """Adam as the methods use it."""
    return torch.optim.Adam(weights, lr=0.01)


def make(channels_last: bool = False) -> tuple[dict[str, nn.Parameter], dict[str, Tensor]]:
    """Three parameters and a random mask; the last parameter is wholly unselected."""
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(s, generator=generator) for s in ((4, 3, 3, 3), (7, 5), (6,))]
    if channels_last:
        values[0] = values[0].to(memory_format=torch.channels_last)
    parameters = {name: nn.Parameter(v) for name, v in zip("abc", values, strict=True)}
    mask = {n: torch.rand(p.shape, generator=generator) < 0.5 for n, p in parameters.items()}
    mask["c"][:] = False
    return parameters, mask


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "build",
    [
        adam,
        lambda weights: torch.optim.Adam(weights, lr=0.01, fused=True),
        lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.1),
        lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.9, weight_decay=0.1),
    ],
)
def test_equals_the_dense_optimiser_where_selected(
    build: Build, channels_last: bool, packed: bool
) -> None:
    parameters, mask = make(channels_last)
    dense = {name: p.detach().clone().requires_grad_() for name, p in parameters.items()}
    before = {name: p.detach().clone() for name, p in parameters.items()}
    indexed = 0 if packed else 1 << 26
    masked = MaskedOptimizer(parameters, mask, build, indexed=indexed)
    whole = build(list(dense.values()))
    for step in range(5):
        for name in ("a", "b"):
            generator = torch.Generator().manual_seed(step)
            gradient = torch.randn(dense[name].shape, generator=generator)
            # Laid out as autograd does it: torch's fused optimisers look at memory alone.
            dense[name].grad = torch.empty_like(dense[name]).copy_(gradient)
            # What is not selected must not matter, however bad it is.
            parameters[name].grad = gradient.masked_fill(~mask[name], float("nan"))
        masked.step()
        whole.step()
    for name, parameter in parameters.items():
        chosen = mask[name]
        torch.testing.assert_close(parameter[chosen], dense[name][chosen], rtol=0, atol=1e-7)
        assert torch.equal(masked.merged(name, before[name]), parameter)
        assert torch.equal(parameter[~chosen], before[name][~chosen])
        assert not chosen.any() or not torch.equal(parameter[chosen], before[name][chosen])


def test_an_unselected_negative_zero_keeps_its_sign() -> None:
    parameter = nn.Parameter(torch.tensor([-0.0, 1.0]))
    optimiser = MaskedOptimizer({"w": parameter}, {"w": torch.tensor([False, True])}, adam)
    parameter.grad = torch.tensor([3.0, 3.0])
    optimiser.step()
    assert torch.signbit(parameter[0])


def test_state_and_gradients_only_for_selected_weights() -> None:
    parameters, mask = make()
    optimiser = MaskedOptimizer(parameters, mask, adam)
    assert not parameters["c"].requires_grad
    selected = sum(int(bits.sum()) for bits in mask.values())
    assert optimiser.selected == selected
    sum((p * p).sum() for p in parameters.values()).backward()  # pyright: ignore
    optimiser.step()
    states = [entry for b in optimiser.buckets for entry in b.inner.state.values()]
    assert sum(entry["exp_avg"].numel() for entry in states) == selected
    assert all(parameter.grad is None for parameter in parameters.values())


def test_half_precision_weights_have_float32_copies() -> None:
    """In bfloat16 (spacing 2^-8 at 1) a step of 1e-4 vanishes, but a hundred are 0.01."""
    parameter = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    optimiser = MaskedOptimizer({"w": parameter}, {"w": torch.tensor([True, False])}, adam)
    for _ in range(100):
        parameter.grad = torch.ones_like(parameter)
        optimiser.set_lr(1e-4)
        optimiser.step()
    assert parameter.tolist() == [pytest.approx(0.99, abs=0.004), 1.0]


def test_float32_copies_begin_from_the_given_values_not_from_what_half_precision_left() -> None:
    """1 + 2^-12 is 1 in bfloat16; after a step of nothing it is there again, selected or not."""
    value = torch.tensor([1 + 2**-12] * 2)
    parameter = nn.Parameter(value.to(torch.bfloat16))
    mask = {"w": torch.tensor([True, False])}
    optimiser = MaskedOptimizer({"w": parameter}, mask, adam, values={"w": value})
    parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert torch.equal(optimiser.merged("w", value), value)
    assert parameter.tolist() == [1.0, 1.0]


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_places_are_where_the_bits_are(bits: list[bool]) -> None:
    """As indices, as bits, and by what a GPU makes of the bits: of 9, two bytes, seven unused."""
    told, cpu = torch.tensor(bits), torch.device("cpu")
    wanted = torch.tensor([i for i, bit in enumerate(bits) if bit], dtype=torch.int64)
    packed = Places.of(told, packed=True)
    assert packed.stored.dtype == torch.uint8 and len(packed.stored) == -(-len(bits) // 8)
    assert torch.equal(packed.indices(cpu), wanted)
    assert torch.equal(Places.of(told, packed=False).indices(cpu), wanted)
    assert torch.equal(unpack(packed.stored, len(bits), packed.selected), wanted)


def test_updates_within_backward_are_those_after_it_and_free_each_gradient() -> None:
    """Buckets of a few weights, so that some are full before the backward ends."""
    results = []
    for in_backward in (False, True):
        parameters, mask = make()
        optimiser = MaskedOptimizer(parameters, mask, adam, in_backward=in_backward)
        for _ in range(3):
            sum((p * p).sum() for p in parameters.values()).backward()  # pyright: ignore
            assert all((p.grad is None) == in_backward for n, p in parameters.items() if n != "c")
            optimiser.step()
            assert all(parameter.grad is None for parameter in parameters.values())
        optimiser.close()
        sum((p * p).sum() for p in parameters.values()).backward()  # pyright: ignore
        assert parameters["a"].grad is not None
        results.append([p.detach().clone() for p in parameters.values()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_missing_gradient_is_zero() -> None:
    parameters, mask = make()
    optimiser = MaskedOptimizer(parameters, mask, adam)
    before = parameters["b"].detach().clone()
    parameters["a"].grad = torch.ones_like(parameters["a"])
    optimiser.step()
    assert torch.equal(parameters["b"], before)


@pytest.mark.parametrize("channels_last", [False, True])
def test_small_parameters_share_a_bucket_and_large_ones_are_cut(channels_last: bool) -> None:
    """108 and 35 weights in pieces of 50, or of 40: the same training, and every weight once."""
    results = []
    for size, pieces in ((200, 1), (50, 4), (40, 4)):
        parameters, mask = make(channels_last)
        before = {name: p.detach().clone() for name, p in parameters.items()}
        optimiser = MaskedOptimizer(parameters, mask, adam, in_backward=True, bucket=size)
        assert len(optimiser.buckets) == pieces
        assert optimiser.selected == sum(int(bits.sum()) for bits in mask.values())
        for _ in range(3):
            sum((p * p).sum() for p in parameters.values()).backward()  # pyright: ignore
        results.append({n: optimiser.merged(n, before[n]) for n in parameters})
        assert all(torch.equal(results[-1][n], p) for n, p in parameters.items())
        assert parameters["a"].grad is None
        again = MaskedOptimizer(make(channels_last)[0], mask, adam, bucket=size)
        again.restore(optimiser.state())
        assert all(torch.equal(again.merged(n, before[n]), results[-1][n]) for n in parameters)
    for other in results[1:]:
        assert all(torch.equal(other[name], results[0][name]) for name in other)


def test_a_mask_of_nothing_or_of_another_shape_is_an_error() -> None:
    parameters, mask = make()
    with pytest.raises(ValueError, match="selects no weight"):
        MaskedOptimizer(parameters, {n: torch.zeros_like(b) for n, b in mask.items()}, adam)
    with pytest.raises(ValueError, match="mask of a"):
        MaskedOptimizer(parameters, mask | {"a": mask["b"]}, adam)
