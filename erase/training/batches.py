"""What a training step sees: noised images of both sets, and what each prompt is relabelled to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from erase.diffusion.conditioning import Conditioning, join
from erase.diffusion.latents import sample_latents
from erase.diffusion.noise_schedule import Schedule
from erase.image_sets.datasets import ForgetSet, RetainSet
from plumbing.processes import ALONE, Team


class Rows:
    """What a dataclass of fields with B rows each can do; one step's is what a method draws."""

    def __getitem__(self, rows: slice) -> Self:
        """The same rows of every field."""
        return type(self)(*(each[rows] for each in vars(self).values()))

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return type(self)(*(each.to(device) for each in vars(self).values()))


@dataclass(frozen=True)
class Noised(Rows):
    """What a denoiser sees of noised images; all [B, …]."""

    noisy_latents: Tensor
    timesteps: Tensor
    conditioning: Conditioning

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Conditioning]:
        """What a denoiser is called with."""
        return self.noisy_latents, self.timesteps, self.conditioning

    def __len__(self) -> int:
        """The number of images, B."""
        return len(self.timesteps)


@dataclass(frozen=True)
class NoisyBatch(Noised):
    """The same, and what the denoiser should say of them, [B, C, h, w]."""

    target: Tensor


@dataclass(frozen=True)
class Draw(Rows):
    """One step's images, as many of each set."""

    forget: NoisyBatch
    relabels: Conditioning
    """Of the prompt that each forget image is relabelled to."""
    retain: NoisyBatch

    def both(self) -> NoisyBatch:
        """The forget images and their own prompts, then the retain images."""
        return join_batches(self.forget, self.retain)

    def relabelled(self) -> NoisyBatch:
        """The forget images alone, with the prompts they are relabelled to."""
        return replace(self.forget, conditioning=self.relabels)


def draw_steps(
    schedule: Schedule,
    scaling_factor: float,
    forget: ForgetSet,
    retain: RetainSet,
    *,
    steps: int,
    batch_size: int,
    seed: int,
) -> Iterator[Draw]:
    """The images, noise, timesteps and relabel prompts of every step; the same for the same seed.

    Drawn on the CPU, so that a seed means the same on every device, and apart from the training,
    so that they can be drawn twice.
    """
    generator = torch.Generator().manual_seed(seed)
    forget_rows = endless_batches(len(forget), batch_size, generator)
    retain_rows = endless_batches(len(retain), batch_size, generator)
    for _ in range(steps):
        rows = next(forget_rows)
        to_forget = add_noise(schedule, scaling_factor, forget, rows, generator)
        relabels = _draw_relabels(forget, rows, generator)
        rows = next(retain_rows)
        yield Draw(
            to_forget, relabels, add_noise(schedule, scaling_factor, retain, rows, generator)
        )


def add_noise(
    schedule: Schedule,
    scaling_factor: float,
    images: RetainSet,
    rows: Tensor,
    generator: torch.Generator,
) -> NoisyBatch:
    """Draw latents, timesteps and noise for some rows of a set, and mix them into x_t."""
    mean, logvar = images.posterior[rows].unbind(1)
    draw, noise = (torch.randn(mean.shape, generator=generator) for _ in range(2))
    timesteps = schedule.draw(len(rows), generator)
    latents = sample_latents(mean, logvar, draw, scaling_factor)
    return NoisyBatch(
        noisy_latents=schedule.add_noise(latents, noise, timesteps),
        timesteps=timesteps,
        conditioning=images.conditioning[images.prompt_index[rows]],
        target=schedule.prediction_target(latents, noise, timesteps),
    )


def join_batches(a: NoisyBatch, b: NoisyBatch) -> NoisyBatch:
    """One after the other."""
    return NoisyBatch(
        noisy_latents=torch.cat([a.noisy_latents, b.noisy_latents]),
        timesteps=torch.cat([a.timesteps, b.timesteps]),
        conditioning=join([a.conditioning, b.conditioning]),
        target=torch.cat([a.target, b.target]),
    )


def micro_batches(batch_size: int, micro_batch: int, team: Team = ALONE) -> list[slice]:
    """Those of a batch that this process sees."""
    starts = range(0, batch_size, micro_batch)
    return [slice(start, start + micro_batch) for start in starts][team.rank :: team.count]


def _draw_relabels(forget: ForgetSet, rows: Tensor, generator: torch.Generator) -> Conditioning:
    """That of a relabel prompt for each row, drawn at random from its own."""
    drawn = []
    for prompt in forget.prompt_index[rows].tolist():
        choices = forget.relabel_choices[prompt]
        drawn.append(choices[torch.randint(len(choices), (), generator=generator)])
    return forget.relabel_conditioning[torch.stack(drawn)]


def endless_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of row numbers, always full: one shuffled pass over all rows after the other."""
    rows = torch.empty(0, dtype=torch.long)
    while True:
        while len(rows) < batch_size:
            rows = torch.cat([rows, torch.randperm(count, generator=generator)])
        yield rows[:batch_size]
        rows = rows[batch_size:]
