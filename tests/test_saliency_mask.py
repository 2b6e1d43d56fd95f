"""Laws of the saliency mask."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from erase.saliency.accumulate import accumulate_saliency
from erase.saliency.mask import SaliencyMask
from erase.saliency.selection import full_mask, random_mask, top_k_mask
from plumbing.errors import UsageError

# Few distinct values, so that ties are the rule; zero and the smallest subnormal among them.
scores = st.lists(
    st.sampled_from([0.0, 1e-45, 1e-3, 1.0, 1.0000001, 3e38]), min_size=2, max_size=60
)


def split(values: list[float]) -> dict[str, Tensor]:
    """The values as three parameters, one of them empty of weights or short."""
    tensor = torch.tensor(values)
    third = len(values) // 3
    return {"a": tensor[:third], "b": tensor[third:-1].unsqueeze(0), "c": tensor[-1:]}


def flat(mask: SaliencyMask) -> Tensor:
    """All bits in order."""
    return torch.cat([mask.bits(name).flatten() for name in mask.shapes])


@given(values=scores, density=st.floats(0, 1))
def test_the_kept_are_the_first_of_a_stable_sort(values: list[float], density: float) -> None:
    kept = round(density * len(values))
    if kept == 0:
        with pytest.raises(UsageError, match="--density"):
            top_k_mask(split(values), density, {})
        return
    mask = top_k_mask(split(values), density, {})
    order = sorted(range(len(values)), key=lambda i: -torch.tensor(values[i]).item())
    assert mask.kept == kept
    assert set(flat(mask).nonzero().flatten().tolist()) == set(order[:kept])


@pytest.mark.parametrize("kind", ["ties", "noise", "zeros"])
@pytest.mark.parametrize("density", [0.003, 0.1, 0.5, 0.97, 1.0])
def test_a_small_sample_of_many_weights_leads_to_the_same(kind: str, density: float) -> None:
    """A sample of sixteen values is often wrong, and then a wider one is looked at."""
    noise = torch.randn(5000, generator=torch.Generator().manual_seed(1)).abs()
    values = {"ties": (noise * 4).round(), "noise": noise, "zeros": noise * (noise > 2)}[kind]
    order = values.sort(descending=True, stable=True).indices[: round(density * 5000)]
    mask = flat(top_k_mask({"a": values[:1234], "b": values[1234:]}, density, {}, sample=16))
    assert mask.nonzero().flatten().tolist() == order.sort().values.tolist()


@given(values=scores, low=st.floats(0.1, 1), high=st.floats(0.1, 1))
def test_masks_nest_as_density_grows(values: list[float], low: float, high: float) -> None:
    low, high = sorted((max(low, 1 / len(values)), max(high, 1 / len(values))))
    small, large = (flat(top_k_mask(split(values), d, {})) for d in (low, high))
    assert not (small & ~large).any()


def test_saliency_is_the_absolute_value_of_the_sum() -> None:
    """Loss w*x has gradient x. Batches x = (1, 1), (-1, 2): sums (0, 3); not (2, 3)."""
    weight = nn.Parameter(torch.tensor([5.0, -5.0]))
    batches = [torch.tensor([1.0, 1.0]), torch.tensor([-1.0, -4.0])]
    saliency = accumulate_saliency({"w": weight}, batches, lambda x: (weight * x).sum())
    assert saliency["w"].tolist() == [0.0, 3.0]
    assert weight.grad is None


def test_works_for_any_module() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    batches = [(torch.randn(5, 3), torch.randint(2, (5,))) for _ in range(3)]

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        return -nn.functional.cross_entropy(model(batch[0]), batch[1])

    saliency = accumulate_saliency(dict(model.named_parameters()), batches, loss)
    mask = top_k_mask(saliency, 0.3, {})
    assert mask.kept == round(0.3 * 26)
    least = min(float(saliency[n][mask.bits(n)].min()) for n in saliency if mask.bits(n).any())
    most = max(float(saliency[n][~mask.bits(n)].max()) for n in saliency if not mask.bits(n).all())
    assert least >= most


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    weight = nn.Parameter(torch.ones(1))
    with pytest.raises(UsageError, match="saliency of w is not finite"):
        accumulate_saliency({"w": weight}, [1], lambda _: weight.sum() * float("nan"))


def test_saved_masks_come_back_with_one_bit_a_weight(tmp_path: Path) -> None:
    parameters = {"a.weight": nn.Parameter(torch.zeros(100, 81)), "b": nn.Parameter(torch.ones(()))}
    mask = random_mask(parameters, 0.3, 7, {"base": "abc", "density": "0.3"})
    path = tmp_path / "mask.safetensors"
    mask.save(path)
    again = SaliencyMask.load(path)
    assert torch.equal(flat(again), flat(mask))
    assert again.metadata == mask.metadata
    assert path.stat().st_size < 8101 / 8 + 500
    assert [file.name for file in tmp_path.iterdir()] == ["mask.safetensors"]
    again.require(path, "abc", parameters)
    with pytest.raises(UsageError, match="another model"):
        again.require(path, "abd", parameters)
    with pytest.raises(UsageError, match="not those of this model"):
        again.require(path, "abc", {"b": parameters["b"]})


def test_random_and_full_masks_have_the_density_asked_for() -> None:
    parameters = {"a": nn.Parameter(torch.zeros(1000)), "b": nn.Parameter(torch.zeros(7, 11))}
    first, second = (random_mask(parameters, 0.25, seed, {}) for seed in (0, 1))
    assert first.kept == second.kept == round(0.25 * 1077)
    assert not torch.equal(flat(first), flat(second))
    assert full_mask(parameters, {}).kept == first.total == 1077


@pytest.mark.parametrize("content", [b"", b"not a mask at all"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mask.safetensors"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="--mask"):
        SaliencyMask.load(path)
