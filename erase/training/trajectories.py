"""Noised latents without images: noise that a model denoises up to a step drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from erase.diffusion.conditioning import Conditioning, join
from erase.image_sets.datasets import PromptSet
from erase.models.sampling import Sampling, guided
from erase.training.batches import Noised, Rows, endless_batches

Predict = Callable[[Noised], Tensor]
"""What a denoiser says of noised latents, [B, C, h, w] in float32."""


@dataclass(frozen=True)
class Start(Rows):
    """Where a step's trajectories begin and how long they are followed; all [B, …]."""

    noise: Tensor
    stops: Tensor
    """int64: how many steps of sampling are taken."""
    conditioning: Conditioning

    def __len__(self) -> int:
        """The number of trajectories, B."""
        return len(self.stops)


class Numbers(Protocol):
    """The settled settings that decide how long trajectories are."""

    steps: int
    batch_size: int
    seed: int
    trajectory_steps: int
    trajectory_guidance: float


def draw_stops(
    steps: int, batch_size: int, seed: int, trajectory_steps: int, first: int = 0
) -> Tensor:
    """After how many steps each trajectory stops: `first` to all but one; int64 [steps, B]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(first, trajectory_steps, (steps, batch_size), generator=generator)


def passes(settings: Numbers, first: int = 0) -> int:
    """Rows that are predicted to follow all trajectories of a training, with and without prompt."""
    told = settings.steps, settings.batch_size, settings.seed, settings.trajectory_steps
    return rows_of(settings.trajectory_guidance) * int(draw_stops(*told, first).sum())


def rows_of(guidance: float) -> int:
    """How many rows a guided prediction takes: without guidance one is enough."""
    return 1 if guidance == 1 else 2


def draw_starts(
    prompts: PromptSet, shape: tuple[int, int, int], stops: Tensor, seed: int
) -> Iterator[Start]:
    """The trajectories of every step, whose `stops` are [steps, B]; the same for the same seed.

    Prompts are taken in shuffled passes over all. Drawn on the CPU, and apart from the training, as
    `batches.draw_steps` does.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = endless_batches(len(prompts.prompts), stops.shape[1], generator)
    for row in stops:
        noise = torch.randn((len(row), *shape), generator=generator)
        yield Start(noise, row, prompts.conditioning[next(chosen)])


class Trajectories:
    """Follows a model's sampler from noise, guided towards a prompt."""

    def __init__(self, sampling: Sampling, nothing: Conditioning, guidance: float) -> None:
        """`nothing` is what guidance leads away from; `guidance` is diffusers' scale, from 1 up."""
        self._sampling, self._nothing, self._guidance = sampling, nothing, guidance

    @torch.no_grad()
    def follow(self, predict: Predict, start: Start) -> Noised:
        """x_t of each trajectory where it stops, with its timestep and prompt, all on a device.

        No pass is made for a trajectory that has stopped.
        """
        latents = self._sampling.begin(start.noise)
        for step in range(int(start.stops.max())):
            timestep = self._sampling.timesteps[step]
            going = (start.stops > step).nonzero().flatten()
            seen = Noised(latents[going], timestep.expand(len(going)), start.conditioning[going])
            latents[going] = self._sampling.step(
                self._predict(predict, seen), timestep, seen.noisy_latents
            )
        return Noised(latents, self.timesteps(start), start.conditioning)

    def timesteps(self, start: Start) -> Tensor:
        """Those at which trajectories stop, [B]."""
        return self._sampling.timesteps[start.stops]

    def _predict(self, predict: Predict, seen: Noised) -> Tensor:
        if rows_of(self._guidance) == 1:
            return predict(seen)
        return guided(*with_and_without(predict, seen, self._nothing), self._guidance)


def with_and_without(
    predict: Predict, seen: Noised, nothing: Conditioning
) -> tuple[Tensor, Tensor]:
    """eps(x_t | "") and eps(x_t | c), in one pass; `nothing` is of one prompt."""
    told = nothing.to(seen.noisy_latents.device)[torch.zeros_like(seen.timesteps, dtype=torch.long)]
    both = Noised(
        seen.noisy_latents.repeat(2, 1, 1, 1),
        seen.timesteps.repeat(2),
        join([told, seen.conditioning]),
    )
    without, with_it = predict(both).chunk(2)
    return without, with_it
