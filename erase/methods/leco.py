"""LECO (p1atdev, 2023): ESD on a LoRA, which follows its own images of the concept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from erase.image_sets.datasets import PromptSet
from erase.methods.esd import away_from, towards
from erase.methods.method import Cost, Trained
from erase.models.bundle import Bundle
from erase.models.sampling import Sampling
from erase.training.loop import Kit, rate, train
from erase.training.low_rank import Adapter, LowRank
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

FIRST = 1
"""Its trajectories take a step at least."""


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
    weight_decay: float,
    rank: int,
    alpha: float,
    eta: float,
    trajectory_steps: int,
    trajectory_guidance: float,
    seed: int,
) -> tuple[list[StepRow], MaskedOptimizer]:
    """Train a LoRA on the layers of the `parameters`, all of which `mask` must select.

    On MSE(eps_LoRA(x_t | c), `away_from`), where x_t is followed with the LoRA on and the target is
    the original's, with the LoRA off; neutral and unconditional prompts are both the empty one. The
    denoiser itself is left as it was: `LowRank.factors` of the optimiser are what was learned.
    """
    lora = Adapter(sd.denoiser, parameters, LowRank(rank, alpha), seed)
    sampling = Sampling(sd, trajectory_steps)
    way = Trajectories(sampling, prompts.nothing, trajectory_guidance)
    stops = draw_stops(steps, batch_size, seed, trajectory_steps, FIRST)

    def ask(current: Any, start: Start) -> Target:
        predict = partial(kit.predict, current)
        seen = way.follow(predict, start)
        with lora.off():
            wanted = away_from(*with_and_without(predict, seen, prompts.nothing), eta)
        return seen.noisy_latents, wanted

    with lora:
        return train(
            # Its weights are in full precision, and none is the denoiser's.
            replace(kit, values=None),
            sd.denoiser,
            lora.parameters,
            lora.all_selected,
            partial(draw_starts, prompts, sampling.shape, stops, seed),
            towards(kit, way, batch_size),
            batch_size=batch_size,
            lr=rate(lr, lr_schedule, steps),
            teacher=Teacher(ask, frozen=False),
            weight_decay=weight_decay,
        )


METHOD = Trained(
    "LECO",
    erase,
    cost=lambda settings: Cost(trained=1, taught=2, sampled=passes(settings, FIRST)),
    sets=lambda settings: ("prompts",),
    relabel=lambda settings: None,
    low_rank=lambda settings: LowRank(settings.rank, settings.alpha),
)
