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
from erase.image_sets.datasets import AnchorSet, ForgetSet, RetainSet
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
    """Images of the concept, then of what its prompts are relabelled to, all under its prompts."""
    relabels: Conditioning
    """Of the prompt that each of them is to look like."""
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
    anchor: AnchorSet | None = None,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    anchors: int = 0,
    mix: float = 0.0,
    mix_retain: bool = True,
) -> Iterator[Draw]:
    """The images, noise, timesteps and relabel prompts of every step; the same for the same seed.

    Of the `batch_size` images of each set, `anchors` of the forget images are of the anchor set.
    A share `mix` of the images is seen under another prompt of their set, drawn at random: what a
    teacher says of it is as good a target. With the true noise for a target it is not, so that
    retained images are left out by `mix_retain`.

    Drawn on the CPU, so that a seed means the same on every device, and apart from the training,
    so that they can be drawn twice.
    """
    generator = torch.Generator().manual_seed(seed)
    forget_rows = endless_batches(len(forget), batch_size - anchors, generator)
    anchor_rows = endless_batches(len(anchor) if anchor else 0, anchors, generator)
    retain_rows = endless_batches(len(retain), batch_size, generator)
    for _ in range(steps):
        rows = next(forget_rows)
        to_forget = add_noise(schedule, scaling_factor, forget, rows, generator)
        relabels = _draw_relabels(forget, forget.prompt_index[rows], generator)
        if anchor and anchors:
            rows = next(anchor_rows)
            shown = add_noise(schedule, scaling_factor, anchor, rows, generator)
            relabels = join([relabels, shown.conditioning])
            asked = anchor.concept_conditioning[anchor.concept_index[rows]]
            to_forget = join_batches(to_forget, replace(shown, conditioning=asked))
        if mix:
            swapped = torch.rand(batch_size, generator=generator) < mix
            prompts = torch.randint(len(forget.prompts), (batch_size,), generator=generator)
            asked = _swap(to_forget.conditioning, forget.conditioning[prompts], swapped)
            to_forget = replace(to_forget, conditioning=asked)
            relabels = _swap(relabels, _draw_relabels(forget, prompts, generator), swapped)
        rows = next(retain_rows)
        retained = add_noise(schedule, scaling_factor, retain, rows, generator)
        if mix and mix_retain:
            swapped = torch.rand(batch_size, generator=generator) < mix
            prompts = torch.randint(len(retain.prompts), (batch_size,), generator=generator)
            kept = _swap(retained.conditioning, retain.conditioning[prompts], swapped)
            retained = replace(retained, conditioning=kept)
        yield Draw(to_forget, relabels, retained)


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


def _draw_relabels(forget: ForgetSet, prompts: Tensor, generator: torch.Generator) -> Conditioning:
    """That of a relabel prompt for each forget prompt, drawn at random from its own."""
    drawn = []
    for prompt in prompts.tolist():
        choices = forget.relabel_choices[prompt]
        drawn.append(choices[torch.randint(len(choices), (), generator=generator)])
    return forget.relabel_conditioning[torch.stack(drawn)]


def _swap(own: Conditioning, other: Conditioning, swapped: Tensor) -> Conditioning:
    """The `other` where `swapped`, bool [B]."""
    return join([own, other])[torch.arange(len(own)) + swapped * len(own)]


def endless_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of row numbers, always full: one shuffled pass over all rows after the other."""
    rows = torch.empty(0, dtype=torch.long)
    while True:
        while len(rows) < batch_size:
            rows = torch.cat([rows, torch.randperm(count, generator=generator)])
        yield rows[:batch_size]
        rows = rows[batch_size:]
