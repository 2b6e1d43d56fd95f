"""Offsets of text embeddings that seek the concept while it is trained out of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.trainings import make_sets
from torch import Tensor
from torch.nn.functional import mse_loss

from erase.models.bundle import Bundle
from erase.training.adversary import Adversary
from erase.training.batches import NoisyBatch, add_noise
from erase.training.loop import Kit

ALL = [slice(0, 4)]


def alone(gradient: Tensor) -> None:
    """No other process has any."""


@pytest.fixture
def concept(tiny: Bundle, tmp_path: Path) -> NoisyBatch:
    """Four noised images of a church."""
    images = make_sets(tiny, tmp_path)["forget"]
    scale = tiny.vae.config["scaling_factor"]
    generator = torch.Generator().manual_seed(0)
    return add_noise(tiny.schedule, scale, images, torch.arange(4), generator)


def student(sd: Bundle) -> Callable[[NoisyBatch], Tensor]:
    """What the tiny model says."""
    return lambda batch: Kit().predict(sd.unet, batch)


def adversary(sd: Bundle, *prompts: str, **changes: Any) -> Adversary:
    """From the prompt of the images, "a church", towards each of some prompts."""
    numbers: dict[str, Any] = {"lr": 2e-2, "restart": 50, "seed": 0} | changes
    offsets = sd.encode(prompts).embeddings - sd.encode(("a church",)).embeddings
    return Adversary(offsets, **numbers)


def error(sd: Bundle, foe: Adversary, concept: NoisyBatch) -> float:
    told = foe.told(concept.conditioning)
    with torch.no_grad():
        pred = student(sd)(replace(concept, conditioning=told))
    return float(mse_loss(pred, concept.target))


def test_it_finds_what_denoises_the_concept(tiny: Bundle, concept: NoisyBatch) -> None:
    foe = adversary(tiny, "a dog")
    before = error(tiny, foe, concept)
    for _ in range(40):
        foe.step(student(tiny), concept, ALL, alone)
    assert error(tiny, foe, concept) < before


def test_the_first_step_is_adams(tiny: Bundle, concept: NoisyBatch) -> None:
    """Adam's first step is lr against the gradient's sign, wherever that is well above epsilon."""
    foe = adversary(tiny, "a dog", lr=0.5)
    start = foe.tensors["offsets"][0].clone()
    free = start.clone().requires_grad_()
    told = replace(concept.conditioning, embeddings=concept.conditioning.embeddings + free)
    mse_loss(student(tiny)(replace(concept, conditioning=told)), concept.target).backward()
    assert free.grad is not None
    foe.step(student(tiny), concept, ALL, alone)
    moved = foe.tensors["offsets"][0] - start
    clear = free.grad.abs() > 1e-4
    assert clear.any()
    torch.testing.assert_close(moved[clear], -0.5 * free.grad.sign()[clear], rtol=1e-2, atol=0)


def test_they_take_turns_and_rows_are_theirs_in_turn(tiny: Bundle, concept: NoisyBatch) -> None:
    foe = adversary(tiny, "a dog", "a tree", "an owl")
    before = foe.tensors["offsets"].clone()
    for _ in range(2):
        foe.step(student(tiny), concept, ALL, alone)
    now = foe.tensors["offsets"]
    assert [torch.equal(*pair) for pair in zip(before, now, strict=True)] == [False, False, True]
    told = foe.told(concept.conditioning, 2).embeddings
    assert torch.equal(told, concept.conditioning.embeddings + now[[2, 0, 1, 2]])


def test_each_begins_anew_after_so_many_steps_of_its_own(tiny: Bundle, concept: NoisyBatch) -> None:
    foe = adversary(tiny, "a dog", restart=2)
    for _ in range(2):
        foe.step(student(tiny), concept, ALL, alone)
    assert int(foe.tensors["steps"][0]) == 2
    foe.step(student(tiny), concept, ALL, alone)
    once = adversary(tiny, "a dog")
    once.step(student(tiny), concept, ALL, alone)
    assert int(foe.tensors["steps"][0]) == 1
    assert torch.equal(foe.tensors["offsets"], once.tensors["offsets"])


def test_small_passes_and_other_processes_add_up_to_one(tiny: Bundle, concept: NoisyBatch) -> None:
    """Each of two processes sees half of the images, in passes of one."""
    whole, parts = adversary(tiny, "a dog"), [adversary(tiny, "a dog") for _ in range(2)]
    whole.step(student(tiny), concept, ALL, alone)
    gradients: list[Tensor] = []
    own = [[slice(0, 1), slice(1, 2)], [slice(2, 3), slice(3, 4)]]
    for part, rows in zip(parts, own, strict=True):
        part.step(student(tiny), concept, rows, lambda g: gradients.append(g.clone()))
    both = adversary(tiny, "a dog")
    both.step(student(tiny), concept, [], lambda g: g.add_(gradients[0] + gradients[1]))
    found, wanted = both.tensors["moments"][0], whole.tensors["moments"][0]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-7)


def test_the_student_s_own_gradients_are_left_alone(tiny: Bundle, concept: NoisyBatch) -> None:
    tiny.unet.requires_grad_(True)
    adversary(tiny, "a dog").step(student(tiny), concept, ALL, alone)
    assert all(parameter.grad is None for parameter in tiny.unet.parameters())
