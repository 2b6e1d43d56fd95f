"""Whether a run fits into memory and onto the disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from erase.models.stable_diffusion import StableDiffusion
from erase.saliency.mask import SaliencyMask
from erase.training.memory import TrainingPlan, free_gigabytes, plan_training
from expunge.runs.job import Job
from expunge.runs.plan import Plan
from expunge.settings.groups import SaliencyConfig, SalUnConfig
from plumbing.disk_space import Need, require_space
from plumbing.processes import Team

_FLOAT = 4
_STATE = 3
"""Floats a selected weight: itself and Adam's two moments."""
_LINE = 128
"""Bytes that the header of a file says of an image or a prompt in it."""


def require_memory(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    given: SaliencyMask | None,
    plan: Plan,
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
    plan: Plan,
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


def require_disk(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    plan: Plan,
    settings: SaliencyConfig,
) -> None:
    """Say what `erase` or `mask` will write and what is free; UsageError if it does not fit.

    What an unfinished or an earlier run left there is used again or gives way, and is taken off.
    """
    erases = isinstance(settings, SalUnConfig)
    images = {"forget": (plan.data.forget_images, plan.concept.forget_prompts)}
    if erases:
        images["retain"] = (plan.data.retain_images, plan.concept.retain_prompts)
    sets = {}
    for role, (count, prompts) in images.items():
        given = plan.captions.get(role)
        captions = set(given.values()) if given else prompts[: count or 0]
        sets[f"{role} set"] = (len(given) if given else count or 0) * _image(sd) + len(
            captions
        ) * _prompt(sd)
    total = sum(parameter.numel() for parameter in parameters.values())
    files = {"mask": total / 8}
    if erases:
        # One stays until the next is whole.
        state = _STATE * _FLOAT * total * (settings.density or 1.0)
        files |= {"state": state, "next state": state}
        files["weights"] = _FLOAT * sd.unet.num_parameters()
    flag = "--out" if plan.data.cache is None else "--cache"
    apart = [plan.out / name for name in ("mask.safetensors", "state.safetensors", "unet")]
    require_space(
        [
            Need("--out", plan.out, files, there=sum(map(_allocated, apart))),
            Need(flag, plan.cache, sets, there=_allocated(plan.cache), many=True),
        ]
    )


def _image(sd: StableDiffusion) -> int:
    """Bytes of an encoded image: mean and log-variance of its latents, and its line in a header."""
    channels = sd.vae.config["latent_channels"]
    side = sd.image_size // 2 ** (len(sd.vae.config["block_out_channels"]) - 1)
    return 2 * channels * side * side * _FLOAT + _LINE


def _prompt(sd: StableDiffusion) -> int:
    """Bytes of an encoded prompt."""
    width = sd.unet.config["cross_attention_dim"]
    return sd.tokenizer.model_max_length * width * _FLOAT + _LINE


def _allocated(place: Path) -> int:
    """Bytes that a file, or all in a folder, takes on disk, holes left out."""
    with suppress(OSError):
        found = os.stat(place)
        if not place.is_dir():
            return getattr(found, "st_blocks", found.st_size // 512) * 512
        return sum(_allocated(inner) for inner in place.iterdir())
    return 0
