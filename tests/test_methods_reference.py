"""Ours against the official structure (benchmarks/reference.py): the same numbers, by less work."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from support.salun_steps import DEFAULTS, make_sets
from torch import Tensor

from benchmarks.reference import (
    ReferenceTraining,
    reference_losses,
    reference_mask,
    reference_saliency,
)
from erase.methods.salun import erase, forget_saliency, step_losses
from erase.models.bundle import Bundle
from erase.saliency.mask import freeze_mask
from erase.saliency.selection import top_k_mask
from erase.training.batches import Draw, NoisyBatch, add_noise, draw_steps, micro_batches
from erase.training.loop import Kit

PUBLISHED: dict[str, Any] = DEFAULTS | {"teacher": "current", "alpha": 0.5}


def draws(sd: Bundle, cache: Path, steps: int) -> list[Draw]:
    """What `salun.erase` draws with the same arguments."""
    schedule, scale = sd.schedule, sd.vae.config["scaling_factor"]
    sets = make_sets(sd, cache, "a dog")
    return list(draw_steps(schedule, scale, *sets, steps=steps, batch_size=3, seed=0))


def doubled(batch: NoisyBatch) -> NoisyBatch:
    return NoisyBatch(
        batch.noisy_latents.double(),
        batch.timesteps,
        batch.conditioning.to(torch.float64),
        batch.target.double(),
    )


@pytest.mark.parametrize("micro_batch", [3, 2, 1])
@pytest.mark.parametrize("frozen", [True, False])
def test_losses_and_gradients_of_a_step_are_the_reference_s(
    tiny: Bundle, tmp_path: Path, micro_batch: int, frozen: bool
) -> None:
    """In float64 to 1e-9; a frozen teacher is the current one in the first step."""
    (draw,) = draws(tiny, tmp_path, 1)
    draw = Draw(doubled(draw.forget), draw.relabels.to(torch.float64), doubled(draw.retain))
    unet = tiny.unet.double().requires_grad_(True)
    theirs = reference_losses(unet, draw)
    (theirs[0] + 0.5 * theirs[1]).backward()
    expected = {name: p.grad for name, p in unet.named_parameters()}
    unet.zero_grad()
    teacher = copy.deepcopy(unet) if frozen else unet
    parts = micro_batches(3, micro_batch)
    kit = Kit(dtype=torch.float64)
    weights, ours = [torch.ones(3, 1, 1, 1, dtype=torch.float64)] * 2, torch.zeros(2).double()
    for rows in parts:
        part = draw[rows]
        with torch.no_grad():
            target = kit.ask(teacher, part.relabelled()), part.retain.target
        losses = step_losses(kit.predict(unet, part.both()), target, weights, rows)
        (losses[0] + 0.5 * losses[1]).backward()
        ours += torch.stack(losses).detach()
    assert ours.tolist() == pytest.approx([loss.item() for loss in theirs], abs=1e-9)
    for name, parameter in unet.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=1e-9)


def test_twenty_steps_end_within_a_twentieth_of_one(tiny: Bundle, tmp_path: Path) -> None:
    """Weights in float32; Adam moves each by about lr a step."""
    bits = {
        name: torch.rand(p.shape, generator=torch.Generator().manual_seed(3)) < 0.5
        for name, p in tiny.unet.named_parameters()
    }
    drawn, theirs = draws(tiny, tmp_path, 20), copy.deepcopy(tiny.unet)
    reference = ReferenceTraining(theirs, None, None, bits, lr=1e-4, alpha=0.5)
    for draw in drawn:
        reference.step(draw)
    parameters = tiny.trainable("full")
    changes = PUBLISHED | {"steps": 20, "lr": 1e-4}
    erase(tiny, parameters, bits, *make_sets(tiny, tmp_path, "a dog"), Kit(), **changes)
    for name, parameter in theirs.named_parameters():
        worst = (tiny.unet.get_parameter(name) - parameter).abs().max().item()
        assert worst <= 0.05 * 1e-4, name


def test_saliency_and_mask_are_the_reference_s(tiny: Bundle, tmp_path: Path) -> None:
    """A sum of batch means there, of image means here: with equal batches the ranks are alike."""
    forget, _ = make_sets(tiny, tmp_path, "a dog")
    schedule, scale = tiny.schedule, tiny.vae.config["scaling_factor"]
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(4).split(2)
    batches = [add_noise(schedule, scale, forget, each, generator) for each in rows]
    parameters = tiny.trainable("full")
    ours = forget_saliency(tiny, parameters, forget, Kit(), guidance=7.5, batch_size=2, seed=0)
    tiny.unet.requires_grad_(True)
    no_prompt = tiny.encode_nothing()
    theirs = reference_saliency(tiny.unet, schedule, batches, no_prompt, 7.5)
    for name, saliency in ours.items():
        torch.testing.assert_close(saliency, 2 * theirs[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("density", [0.01, 0.5, 0.9])
def test_the_selection_is_the_double_argsort_s_bit_for_bit(density: float) -> None:
    generator = torch.Generator().manual_seed(0)
    saliency: dict[str, Tensor] = {
        name: torch.randn(shape, generator=generator).abs()
        for name, shape in {"a": (30, 7), "b": (11,), "c": (5, 4, 3, 3)}.items()
    }
    mask = top_k_mask(saliency, density, {})
    theirs = freeze_mask({n: m.bool() for n, m in reference_mask(saliency, density).items()}, {})
    assert all(torch.equal(mask.packed[name], theirs.packed[name]) for name in saliency)
