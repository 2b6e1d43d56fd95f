"""The estimate of a training's memory, against what it takes, and the rule that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from support.tiny_models import make_unet
from support.tiny_sdxl import make_sdxl_unet
from torch.autograd.graph import saved_tensors_hooks

from erase.training.memory import free_gigabytes, left_to_group, plan_saliency, plan_training
from plumbing.errors import UsageError

USUAL: dict[str, Any] = {
    "selected": 1000,
    "batch_size": 4,
    "steps": 10,
    "dtype": torch.float32,
    "frozen_teacher": True,
    "held": 2,
}


def plan(unet: Any, **changes: Any) -> Any:
    return plan_training(unet, parameters=list(unet.parameters()), **(USUAL | changes))


def kept(unet: Any, rows: int, tokens: int = 77) -> float:
    """Gigabytes that a real forward pass leaves for its backward pass."""
    found: dict[int, torch.Tensor] = {}

    own = {parameter.data_ptr() for parameter in unet.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            found[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        told = torch.randn(rows, tokens, 16)
        unet(torch.randn(rows, 4, 8, 8), torch.zeros(rows, dtype=torch.long), told)
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values()) / 1e9


def test_activations_are_those_that_a_real_pass_keeps() -> None:
    unet = make_unet()
    assert plan(unet, batch_size=8).gigabytes["activations"] == pytest.approx(
        kept(unet, 16), rel=0.03
    )


def test_memory_buys_first_the_whole_batch_then_parts_then_recomputing() -> None:
    unet = make_unet()
    whole = plan(unet)
    assert (whole.micro_batch, whole.checkpointing, whole.teach_ahead) == (4, False, True)
    least = plan(unet, micro_batch=1)
    assert least.gigabytes["gradients"] > whole.gigabytes["gradients"]
    there = 4e-9 * unet.num_parameters()
    half = plan(unet, free=(whole.total - there - 1e-6) / 0.9)
    assert half.micro_batch < 4 or half.checkpointing
    with pytest.raises(UsageError, match=r"needs about \d.*GB are free; lower --density"):
        plan(unet, free=1e-9)


def test_a_training_of_many_steps_copies_its_teacher() -> None:
    """Ten steps of 8 images are 80 targets of 1 kB; the UNet has some ten thousand weights."""
    assert plan(make_unet(), steps=10).teach_ahead
    assert not plan(make_unet(), steps=10_000).teach_ahead
    assert plan(make_unet(), steps=10_000, frozen_teacher=False).teach_ahead


def test_what_is_there_already_is_not_asked_for_again() -> None:
    """Ten thousand float32 weights: 40 kB that need not be free."""
    unet = make_unet()
    there = 4e-9 * unet.num_parameters()
    plan(unet, micro_batch=1, free=(plan(unet, micro_batch=1).total - there + 1e-7) / 0.9)
    with pytest.raises(UsageError, match="training needs"):
        plan(unet, micro_batch=1, free=there / 100)


def test_the_saliency_is_cut_to_the_memory_too() -> None:
    unet = make_unet()
    told: dict[str, Any] = {"parameters": list(unet.parameters()), "batch_size": 8}
    assert plan_saliency(unet, guided=True, free=1, **told) == (8, False)
    sizes = [plan_saliency(unet, guided=True, free=1e-3 * mb, **told) for mb in (6, 3, 1)]
    assert [size for size, _ in sizes] == sorted((size for size, _ in sizes), reverse=True)
    assert sizes[-1][0] < 8 or sizes[-1][1]
    with pytest.raises(UsageError, match="the mask needs about"):
        plan_saliency(unet, guided=True, free=1e-9, **told)


def test_sdxl_can_be_estimated_and_a_given_micro_batch_stays() -> None:
    found, one = (plan(make_sdxl_unet(), micro_batch=rows) for rows in (3, 1))
    assert found.micro_batch == 3
    assert found.gigabytes["activations"] == pytest.approx(3 * one.gigabytes["activations"])
    assert "3 of a batch at once" in found.describe()
    assert found.weights == "float32"


def test_processes_share_a_batch_and_keep_all_gradients() -> None:
    one, two = plan(make_unet()), plan(make_unet(), processes=2)
    assert (one.micro_batch, two.micro_batch) == (4, 2)
    assert two.gigabytes["gradients"] > one.gigabytes["gradients"]


def test_a_control_group_s_limit_counts_without_its_file_cache(tmp_path: Path) -> None:
    """Of 10 GB, 8 are used, 5 of them by pages of files: 7 are left."""
    assert left_to_group(tmp_path) == float("inf")
    (tmp_path / "memory.current").write_text("8000000000\n")
    stat = "anon 3000000000\nactive_file 1000000000\ninactive_file 4000000000\n"
    (tmp_path / "memory.stat").write_text(stat)
    (tmp_path / "memory.max").write_text("max\n")
    assert left_to_group(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("10000000000\n")
    assert left_to_group(tmp_path) == 7e9


def test_free_memory_is_told_in_gigabytes_of_what_the_machine_has() -> None:
    whole = psutil.virtual_memory().total / 1e9
    assert 0.001 * whole < free_gigabytes(torch.device("cpu")) < whole
