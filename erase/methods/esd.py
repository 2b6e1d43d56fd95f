"""ESD (Gandikota et al., 2023): turn the model's own guidance against the concept, by its words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from erase.image_sets.datasets import PromptSet
from erase.methods.method import Cost, Trained
from erase.models.bundle import Bundle
from erase.models.sampling import Sampling
from erase.tensors.bits import widened
from erase.training.batches import Noised
from erase.training.loop import Kit, Losses, rate, train
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import StepRow
from erase.training.teacher import Target, Teacher
from erase.training.trajectories import (
    Start,
    Trajectories,
    draw_starts,
    draw_stops,
    passes,
    with_and_without,
)


def away_from(without: Tensor, with_it: Tensor, eta: float) -> Tensor:
    """eps0(x_t | "") - eta (eps0(x_t | c) - eps0(x_t | "")), the original's negative guidance."""
    return without - eta * (with_it - without)


def towards(kit: Kit, way: Trajectories, batch_size: int) -> Losses[Start]:
    """MSE(eps_theta(x_t | c), target), of what a teacher gives: x_t and the target."""

    def losses(
        student: Any, start: Start, rows: slice, target: Target
    ) -> tuple[Tensor, dict[str, Tensor]]:
        part = start[rows].to(student.device)
        noisy, wanted = (widened(each.to(student.device)) for each in target)
        pred = kit.predict(student, Noised(noisy, way.timesteps(part), part.conditioning))
        loss = len(part) / batch_size * mse_loss(pred, wanted)
        return loss, {"forget": loss}

    return losses


def erase(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    mask: Mapping[str, Tensor],
    prompts: PromptSet,
    kit: Kit,
    *,
    steps: int,
    lr: float,
    lr_schedule: str,
    batch_size: int,
    eta: float,
    trajectory: str,
    trajectory_steps: int,
    trajectory_guidance: float,
    seed: int,
) -> tuple[list[StepRow], MaskedOptimizer]:
    """Train `sd.denoiser` in place, where `mask` is True, on MSE(eps_theta(x_t | c), `away_from`).

    x_t is noise that was denoised towards c in `trajectory_steps` steps of DDIM, guided, and left
    after a random number of them: by the `original` model, as in the authors' later code, or by the
    `current` one, as in the paper. See `training.loop.train` for what comes back.
    """
    sampling = Sampling(sd, trajectory_steps)
    way = Trajectories(sampling, prompts.nothing, trajectory_guidance)
    stops = draw_stops(steps, batch_size, seed, trajectory_steps)

    def ask(original: Any, start: Start) -> Target:
        guide = sd.denoiser if trajectory == "current" else original
        seen = way.follow(partial(kit.predict, guide), start)
        pair = with_and_without(partial(kit.predict, original), seen, prompts.nothing)
        found = seen.noisy_latents, away_from(*pair, eta)
        return tuple(each.to(kit.dtype).cpu() for each in found)

    return train(
        kit,
        sd.denoiser,
        parameters,
        mask,
        partial(draw_starts, prompts, sampling.shape, stops, seed),
        towards(kit, way, batch_size),
        batch_size=batch_size,
        lr=rate(lr, lr_schedule, steps),
        teacher=Teacher(ask, frozen=True, follows=trajectory == "current"),
    )


def _cost(settings: Any) -> Cost:
    ahead, sampled = settings.trajectory == "original", passes(settings)
    return Cost(trained=1, taught=2, held=2, frozen=True, ahead=ahead, sampled=sampled)


METHOD = Trained(
    "ESD", erase, _cost, sets=lambda settings: ("prompts",), relabel=lambda settings: None
)
