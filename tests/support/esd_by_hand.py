"""ESD's loss written out by hand: DDIM, guidance and the target as their papers have them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from erase.image_sets.datasets import PromptSet
from erase.models.bundle import Bundle
from erase.training.trajectories import Start, draw_starts, draw_stops
from support.trainings import NUMBERS

STEPS, BATCH, SEED = (NUMBERS["esd"][name] for name in ("trajectory_steps", "batch_size", "seed"))


def starts(prompts: PromptSet, steps: int, first: int = 0) -> list[Start]:
    """What a training of so many steps draws."""
    stops = draw_stops(steps, BATCH, SEED, STEPS, first)
    return list(draw_starts(prompts, (4, 8, 8), stops, SEED))


@torch.no_grad()
def noised(unet: Any, sd: Bundle, start: Start, nothing: Tensor) -> list[tuple[Tensor, int]]:
    """x_t and t of each trajectory, one after the other, by the equations of DDIM; guidance 3.

    In five steps of a thousand timesteps DDIM is at 801, 601, 401, 201 and 1.
    """
    levels, found = sd.schedule.alphas_cumprod, []
    for noise, stop, told in zip(
        start.noise, start.stops, start.conditioning.embeddings, strict=True
    ):
        x = noise[None]
        for t in range(801, 801 - 200 * int(stop), -200):
            with_it, without = (unet(x, t, c).sample for c in (told[None], nothing))
            eps = without + 3 * (with_it - without)
            x0 = (x - (1 - levels[t]).sqrt() * eps) / levels[t].sqrt()
            x = levels[t - 200].sqrt() * x0 + (1 - levels[t - 200]).sqrt() * eps
        found.append((x, 801 - 200 * int(stop)))
    return found


@torch.no_grad()
def loss_by_hand(student: Any, guide: Any, original: Any, sd: Bundle, start: Start) -> float:
    """The mean of (eps(x_t | c) - (eps0(x_t) - 1 (eps0(x_t | c) - eps0(x_t))))^2."""
    nothing = sd.encode(("",)).embeddings
    errors = []
    for (x, t), told in zip(
        noised(guide, sd, start, nothing), start.conditioning.embeddings, strict=True
    ):
        with_it, without = (original(x, t, c).sample for c in (told[None], nothing))
        wanted = without - 1.0 * (with_it - without)
        errors.append((student(x, t, told[None]).sample - wanted).square().mean())
    return float(torch.stack(errors).mean())
