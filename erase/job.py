"""All that a training takes, and how it fits into the memory that there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from erase import prepare
from erase.checkpoint import StableDiffusion
from erase.conditioning import Conditioning
from erase.datasets import ForgetSet, RetainSet
from erase.memory import TrainingPlan, free_gigabytes, plan_training
from erase.options import SalUnConfig
from erase.saliency import SaliencyMask
from erase.watch import Gone
from plumbing.processes import Team


@dataclass(frozen=True)
class Job:
    """All that a training takes."""

    sd: StableDiffusion
    parameters: Mapping[str, nn.Parameter]
    mask: SaliencyMask
    forget: ForgetSet
    retain: RetainSet
    plan: prepare.Plan
    settings: SalUnConfig
    team: Team
    guard: Conditioning | None
    """Prompts that the quality guard looks at; None for no guard."""
    gone: Gone | None
    """Ends the training once the concept is gone."""

    @property
    def steps(self) -> int:
        """How many were asked for."""
        assert self.settings.steps
        return self.settings.steps


def require_memory(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    given: SaliencyMask | None,
    plan: prepare.Plan,
    settings: SalUnConfig,
    team: Team,
) -> None:
    """Refuse, as a UsageError with numbers, a training that cannot fit, before sets are drawn."""
    total = sum(p.numel() for p in parameters.values())
    density = 1.0 if settings.mask_kind == "none" else settings.density or 1.0
    selected = given.kept if given else round(density * total)
    released = sum(p.nbytes for part in sd.encoders for p in part.parameters()) / 1e9
    free = free_gigabytes(sd.unet.device) + (0 if settings.until_erased else released)
    _plan(sd, parameters, selected, plan, settings, team, settings.micro_batch, free)


def plan_run(job: Job, micro_batch: int | None) -> TrainingPlan:
    """How to train in the memory that is free; puts the UNet in that shape."""
    unet, kept = job.sd.unet, job.mask.kept
    how = _plan(job.sd, job.parameters, kept, job.plan, job.settings, job.team, micro_batch)
    # Not diffusers' own `to`, which warns of parts to be kept in float32 where there are none.
    for part in (unet, *(job.sd.encoders if job.gone else ())):
        nn.Module.to(part, getattr(torch, how.weights))
    if how.checkpointing:
        unet.enable_gradient_checkpointing()
    return how


def _plan(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    selected: int,
    plan: prepare.Plan,
    settings: SalUnConfig,
    team: Team,
    micro_batch: int | None,
    free: float | None = None,
) -> TrainingPlan:
    return plan_training(
        sd.unet,
        parameters=list(parameters.values()),
        selected=selected,
        batch_size=settings.batch_size or 1,
        processes=team.count,
        steps=settings.steps or 1,
        dtype=plan.dtype,
        frozen_teacher=settings.teacher == "frozen",
        teach_retained=settings.retain_target == "teacher",
        micro_batch=micro_batch,
        free=free,
    )
