"""Concept ablation (Kumari et al., 2023): have the concept's words mean an anchor instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from erase.diffusion.conditioning import Conditioning
from erase.diffusion.noise_schedule import Schedule
from erase.image_sets.datasets import AnchorSet
from erase.methods.method import Cost, Trained
from erase.models.bundle import Bundle
from erase.tensors.bits import widened
from erase.training.batches import NoisyBatch, Rows, add_noise, endless_batches, join_batches
from erase.training.loop import Kit, rate, train
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import StepRow
from erase.training.teacher import Target, Teacher


@dataclass(frozen=True)
class Anchored(Rows):
    """One step's images of anchors."""

    anchor: NoisyBatch
    """With the anchors' own prompts, c."""
    concept: Conditioning
    """Of the concept's prompt c* that each image is to answer."""

    def renamed(self) -> NoisyBatch:
        """The same images with the concept's prompts."""
        return replace(self.anchor, conditioning=self.concept)


def draw_steps(
    schedule: Schedule,
    scaling_factor: float,
    images: AnchorSet,
    *,
    steps: int,
    batch_size: int,
    seed: int,
) -> Iterator[Anchored]:
    """The images, noise and timesteps of every step; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    batches = endless_batches(len(images), batch_size, generator)
    for _ in range(steps):
        rows = next(batches)
        noised = add_noise(schedule, scaling_factor, images, rows, generator)
        yield Anchored(noised, images.concept_conditioning[images.concept_index[rows]])


def erase(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    mask: Mapping[str, Tensor],
    anchor: AnchorSet,
    kit: Kit,
    *,
    steps: int,
    lr: float,
    lr_schedule: str,
    batch_size: int,
    weight_decay: float,
    teacher: str,
    prior: float,
    seed: int,
) -> tuple[list[StepRow], MaskedOptimizer]:
    """Train `sd.denoiser` in place, where `mask` is True, on the paper's model-based loss.

    MSE(eps_theta(x_t | c*), sg[eps(x_t | c)]) on noised images of anchors c; eps is of the `frozen`
    original, or of the `current` model. With a `prior` weight, that times the diffusion loss of the
    same images under their own prompts, MSE(eps_theta(x_t | c), noise), which keeps the anchor.
    """
    schedule, scale = sd.schedule, sd.vae.config["scaling_factor"]
    drawn = {"steps": steps, "batch_size": batch_size, "seed": seed}

    def ask(denoiser: Any, part: Anchored) -> Target:
        return (kit.ask(denoiser, part.anchor),)

    def losses(
        student: Any, draw: Anchored, rows: slice, target: Target
    ) -> tuple[Tensor, dict[str, Tensor]]:
        part = draw[rows].to(student.device)
        share = len(part.anchor) / batch_size
        seen = join_batches(part.renamed(), part.anchor) if prior else part.renamed()
        pred = kit.predict(student, seen)
        ablating = share * mse_loss(pred[: len(part.anchor)], widened(target[0].to(pred.device)))
        if not prior:
            return ablating, {"forget": ablating}
        keeping = share * mse_loss(pred[len(part.anchor) :], part.anchor.target)
        return ablating + prior * keeping, {"forget": ablating, "prior": keeping}

    return train(
        kit,
        sd.denoiser,
        parameters,
        mask,
        partial(draw_steps, schedule, scale, anchor, **drawn),
        losses,
        batch_size=batch_size,
        lr=rate(lr, lr_schedule, steps),
        teacher=Teacher(ask, teacher == "frozen"),
        weight_decay=weight_decay,
    )


def _cost(settings: Any) -> Cost:
    return Cost(trained=2 if settings.prior else 1, frozen=settings.teacher == "frozen")


METHOD = Trained(
    "concept ablation",
    erase,
    _cost,
    sets=lambda settings: ("anchor",),
    relabel=lambda settings: settings.anchor,
)
